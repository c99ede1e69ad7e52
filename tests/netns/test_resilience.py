"""Parts that are killed, starved or confused: nothing opens, the failure is reported, and the part comes back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend.contract.events import BootFinished, Event, ListMeasured, Noted, ProofFinished, ProtectionFailed, ServiceState
from tests.netns.sandbox import INTERNET, Running, backend_of, eventually, start
from tests.netns.test_cases import connect, query, refused

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("service", ["coredns", "guard"])
def test_a_killed_service_comes_back_and_nothing_opens(sandbox: Running, service: str) -> None:
    assert connect(sandbox, "github.com") == "open"
    killed = sandbox.kill(service)
    assert connect(sandbox, "192.0.2.50") == "refused"
    assert query(sandbox, "203.0.113.53", "github.com") == {"refused": True}
    assert connect(sandbox, "198.51.100.10") == "open"  # open addresses stay open
    eventually(f"{service} is up again", lambda: sandbox.came_back(service, killed))
    assert connect(sandbox, "short.test") == "open"
    assert connect(sandbox, "unlisted.test") == "no such name"


def test_the_self_test_runs_again_after_a_service_came_back(sandbox: Running) -> None:
    killed = sandbox.kill("coredns")
    back = eventually("coredns is up again", lambda: sandbox.came_back("coredns", killed))

    def tried() -> bool:
        """A self-test after the restart; one that was running at the kill may have finished in between."""
        return any(isinstance(stamped.event, ProofFinished) and stamped.seq > back for stamped in sandbox.stamped())

    eventually("the self-test has run", tried)
    assert sandbox.events(ProofFinished)[-1].failed == ()


def test_a_service_that_hangs_is_a_state_of_its_own(sandbox: Running) -> None:
    pid = sandbox.pid("coredns")
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually("it is reported", lambda: sandbox.state.services["coredns"].state is ServiceState.UNRESPONSIVE)
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually("it is up again", lambda: sandbox.state.services["coredns"].state is ServiceState.UP)


@pytest.fixture(scope="module")
def often_tested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox whose self-test runs every second, for the tests up to the one that closes it."""
    running = start(tmp_path_factory.mktemp("often-tested"), f"often-{os.getpid()}", CODETAINER_PROOF="1s")
    yield running
    running.stop()


def test_a_silent_resolver_is_no_hole(often_tested: Running) -> None:
    """The self-test runs while CoreDNS hangs: the failure is reported, and the sandbox is not closed for good."""
    pid = often_tested.pid("coredns")
    os.kill(pid, signal.SIGSTOP)
    eventually("it is reported", lambda: any("does not answer" in note.text for note in often_tested.events(Noted)))
    os.kill(pid, signal.SIGCONT)
    self_tests = len(often_tested.events(ProofFinished))
    eventually("the self-test runs again", lambda: len(often_tested.events(ProofFinished)) > self_tests)
    assert often_tested.state.is_open
    assert connect(often_tested, "github.com") == "open"


def test_a_temporary_lack_of_descriptors_ends_nothing_for_good(often_tested: Running) -> None:
    boot = backend_of(often_tested)
    limits = resource.prlimit(boot, resource.RLIMIT_NOFILE)
    resource.prlimit(boot, resource.RLIMIT_NOFILE, (3, limits[1]))
    eventually(
        "the shortage is reported",
        lambda: any("Too many open files; tried again" in note.text for note in often_tested.events(Noted)),
    )
    resource.prlimit(boot, resource.RLIMIT_NOFILE, limits)
    self_tests = len(often_tested.events(ProofFinished))
    eventually("the self-test runs again", lambda: len(often_tested.events(ProofFinished)) > self_tests + 1)
    assert often_tested.state.is_open
    assert connect(often_tested, "192.0.2.66") == "refused"
    eventually("the refusal is reported", lambda: refused(often_tested, address="192.0.2.66"))
    assert often_tested.codetainer("allow", "unlisted.test", "--for", "1s").returncode == 0
    eventually("expired grants are closed", lambda: not often_tested.state.allowed)


def test_a_retry_after_a_halt_restores_the_grants(often_tested: Running) -> None:
    """After a halt and a retry the self-test keeps running, and unexpired grants are open, as the journal says."""
    assert often_tested.codetainer("allow", "unlisted.test").returncode == 0
    assert often_tested.codetainer("allow", "plain.test", "--port", "8443", "--for", "1s").returncode == 0
    often_tested.root("nft", "delete table inet codetainer")
    eventually("it closes", lambda: often_tested.state.protection_failed)
    eventually("the timed grant has expired", lambda: set(often_tested.state.allowed) == {"unlisted.test"})
    assert [note.text for note in often_tested.events(Noted) if "cannot close" in note.text][1:] == []
    done = often_tested.codetainer("retry")
    assert done.returncode == 0, done.stderr
    self_tests = len(often_tested.events(ProofFinished))
    assert connect(often_tested, "unlisted.test") == "open"
    assert connect(often_tested, "plain.test", 8443) == "refused"
    eventually("the self-test runs again", lambda: len(often_tested.events(ProofFinished)) > self_tests + 1)
    assert often_tested.events(ProofFinished)[-1].failed == ()


def test_addresses_cannot_be_opened_without_the_table(often_tested: Running) -> None:
    """DNS answers SERVFAIL instead of an address, and the self-test detects the missing rules and closes the sandbox."""
    before = often_tested.stamped()[-1].seq
    often_tested.root("nft", "delete table inet codetainer")
    assert query(often_tested, "127.0.0.53", "wild.test")["rcode"] == 2

    def since(kind: type[Event]) -> list[Any]:
        return [one.event for one in often_tested.stamped() if one.seq > before and isinstance(one.event, kind)]

    failed = eventually("it closes", lambda: since(ProtectionFailed))[0]
    assert {"outside address", "upstream resolver"} & set(failed.failed), failed
    assert "192.0.2.1" in failed.reason or "203.0.113.53" in failed.reason
    assert "halted" not in [event.state for event in since(BootFinished)]
    said = often_tested.codetainer("status").stdout
    assert re.search(r"^often-\d+  CLOSED .* protection failed at [0-9]{2}:[0-9]{2}: .*; everything is closed", said), said
    assert "codetainer retry" in said
    assert "halted" not in said
    eventually("the network is closed", lambda: connect(often_tested, "192.0.2.50") == "refused")
    assert often_tested.codetainer("status").returncode == 2


def test_refreshes_continue_after_a_program_could_not_be_run_for_a_while(tmp_path: Path) -> None:
    sandbox = start(tmp_path, f"refresh-{os.getpid()}", CODETAINER_REFRESH="1s")
    try:
        conntrack = sandbox.root("sh", "-c", "command -v conntrack").stdout.strip()
        assert sandbox.root("mount", "--bind", "/dev/null", conntrack).returncode == 0
        eventually("it is reported", lambda: any("cannot run conntrack" in note.text for note in sandbox.events(Noted)))
        sandbox.root("umount", conntrack)
        pid, refreshed = sandbox.pid("guard"), sandbox.events(ListMeasured)[-1].refreshed_at
        eventually("the list is refreshed", lambda: sandbox.events(ListMeasured)[-1].refreshed_at > refreshed)
        assert sandbox.pid("guard") == pid
    finally:
        sandbox.stop()


def test_a_full_tmpfs_stops_nothing(sandbox: Running) -> None:
    sandbox.agent("sh", "-c", "head -c 2000m /dev/zero > /tmp/fill; head -c 2000m /dev/zero > /home/claude/fill")
    try:
        assert connect(sandbox, "github.com") == "open"
        assert connect(sandbox, "192.0.2.51") == "refused"
        eventually("it is reported", lambda: refused(sandbox, address="192.0.2.51"))
    finally:
        sandbox.agent("rm", "-f", "/tmp/fill", "/home/claude/fill")


def test_an_upstream_that_has_gone(tmp_path: Path) -> None:
    """New names get SERVFAIL, and the sandbox keeps running."""
    nowhere = INTERNET.replace("203.0.113.53", "203.0.113.52")
    sandbox = start(tmp_path, f"gone-{os.getpid()}", internet=nowhere, CODETAINER_UPSTREAM="203.0.113.120")
    try:
        assert sandbox.state.boot == "degraded"
        assert "cannot be resolved" in sandbox.state.steps["readiness"].detail
        assert query(sandbox, "127.0.0.53", "github.com").get("rcode", 2) == 2
        assert connect(sandbox, "192.0.2.50") == "refused"
    finally:
        sandbox.stop()


@pytest.mark.parametrize("service", ["guard", "coredns"])
def test_a_service_killed_while_boot_is_under_way(tmp_path: Path, service: str) -> None:
    sandbox = start(tmp_path, f"early-{os.getpid()}", until_released=False)
    try:
        eventually(f"a {service}", lambda: sandbox.paths.journal.exists() and service in sandbox.state.services
                   and sandbox.state.services[service].pid)  # fmt: skip
        sandbox.kill(service)
        eventually("init is over", lambda: sandbox.state.lock_released)
        assert connect(sandbox, "192.0.2.50") == "refused"
        if sandbox.state.boot != "halted":
            eventually(f"the {service} is up", lambda: sandbox.state.services[service].state is ServiceState.UP)
            assert connect(sandbox, "github.com") == "open"
    finally:
        sandbox.stop()


def test_a_boot_steps_process_killed(tmp_path: Path) -> None:
    """The killed tool resolves a package registry to its hosts: the registry opens nothing, and boot reports it and goes on."""
    sandbox = start(tmp_path, f"step-{os.getpid()}", listed="github.com\n@npm\n", until_released=False)
    try:

        def tool() -> int:
            for process in sandbox.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "npm config get" in " ".join(process.cmdline()):
                        return process.pid
            return 0

        os.kill(eventually("the tool", tool), signal.SIGKILL)
        eventually("init is over", lambda: sandbox.state.lock_released)
        assert sandbox.state.boot == "ready", sandbox.state.reason
        assert any("the tool reports no host" in line for line in sandbox.state.steps["list"].lines)
        assert sandbox.state.list is not None
        assert sandbox.state.list.names == 1
    finally:
        sandbox.stop()


def test_a_flood_of_refusals_is_counted_and_bounded(sandbox: Running) -> None:
    flood = """
import json, socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent = 0
end = time.monotonic() + 3
while time.monotonic() < end and sent < 60000:
    try:
        sock.sendto(b"x", ("192.0.2.99", 9999))
    except OSError:
        pass
    sent += 1
print(json.dumps(sent))
"""
    before = sandbox.paths.journal.stat().st_size
    sent = sandbox.python(flood)

    def total() -> int:
        return sum(r.count for r in refused(sandbox, address="192.0.2.99", port=9999))

    eventually("every one is counted", lambda: total() >= sent)
    assert total() == sent
    assert sandbox.paths.journal.stat().st_size - before < 100_000
    assert connect(sandbox, "github.com") == "open"


def test_the_end_of_a_session_is_reported_and_it_can_be_restarted(sandbox: Running) -> None:
    sandbox.tmux.kill()
    eventually("it is reported", lambda: sandbox.state.session is not None and sandbox.state.session.state == "ended")
    assert sandbox.codetainer("session", "restart").returncode == 0
    assert [(session.session_name, len(session.panes)) for session in sandbox.tmux.sessions] == [("claude", 2)]


def test_a_report_of_the_agents_is_never_trusted(sandbox: Running) -> None:
    path = "/home/claude/.codetainer/session.json"
    strange = json.dumps({"state": "works", "name": "\x1b[2J", "cost_usd": 1e99})
    for script in (
        f"ln -sfn /etc/shadow {path}",
        f"rm -f {path}; mkfifo {path}",
        f"rm -f {path}; head -c 1m /dev/zero > {path}",
        f"echo '[[[[' > {path}",
        f"echo '{strange}' > {path}",
    ):
        sandbox.agent("sh", "-c", script)
        time.sleep(1.2)  # the supervisor reads once a second, and correctly ignoring a report causes no event to wait for
    eventually("the last one is read", lambda: sandbox.state.session is not None and sandbox.state.session.state == "works")
    assert sandbox.state.session is not None
    assert sandbox.state.session.cost_usd == -1.0
    assert connect(sandbox, "github.com") == "open"


def test_the_boot_process_killed_closes_everything(sandbox: Running) -> None:
    """The last test, because it ends the shared sandbox."""
    sandbox.root("sh", "-c", "pkill -9 -f 'backend boot'")
    sandbox.process.communicate(timeout=60)
    eventually("its processes have ended", lambda: not Path(f"/proc/{sandbox.init}").exists())
