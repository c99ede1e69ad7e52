"""The operator's requests to a running sandbox: they have taken effect when the reply arrives."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.events import (
    Allowed,
    BootFinished,
    BootState,
    Froze,
    ListMeasured,
    Muted,
    Noted,
    StepOutput,
    StepStarted,
    Withdrawn,
)
from tests.netns.sandbox import Running, eventually, start, stopped_in_boot
from tests.netns.talk import go_on, talking
from tests.netns.test_cases import connect, query

pytestmark = pytest.mark.netns


def test_allow_opens_name_and_address_at_once_and_revoke_closes_both(sandbox: Running) -> None:
    assert connect(sandbox, "unlisted.test") == "no such name"
    assert sandbox.codetainer("allow", "unlisted.test", "--for", "1h").returncode == 0
    assert connect(sandbox, "unlisted.test") == "open"
    assert connect(sandbox, "198.51.100.40") == "open"
    assert sandbox.events(Allowed)[-1].name == "unlisted.test"
    assert sandbox.codetainer("revoke", "unlisted.test").returncode == 0
    assert connect(sandbox, "unlisted.test") == "no such name"
    assert connect(sandbox, "198.51.100.40") == "refused"
    assert sandbox.events(Withdrawn)[-1].name == "unlisted.test"


def test_a_timed_grant_expires(sandbox: Running) -> None:
    assert sandbox.codetainer("allow", "brief.test", "--for", "1s").returncode == 0
    eventually("it is withdrawn", lambda: any(event.name == "brief.test" for event in sandbox.events(Withdrawn)))
    assert query(sandbox, "127.0.0.53", "brief.test")["rcode"] == 3


def test_revoke_cuts_flows_that_are_under_way(sandbox: Running) -> None:
    assert sandbox.codetainer("allow", "unlisted.test").returncode == 0
    open_one = talking(sandbox, "unlisted.test", 80)
    assert sandbox.codetainer("revoke", "unlisted.test").returncode == 0
    assert go_on(open_one) in ("cut", "unanswered")


def test_changes_of_the_allowlist_cause_no_warning(sandbox: Running) -> None:
    """CoreDNS reloads on a signal. If it also watched its file, it would reload twice, and the second reload would fail."""
    for number in range(8):
        assert sandbox.codetainer("allow", f"n{number}.unlisted.test").returncode == 0
        assert sandbox.codetainer("revoke", f"n{number}.unlisted.test").returncode == 0
    assert [note.text for note in sandbox.events(Noted) if note.text.startswith("coredns")] == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("allow", "https://x.test/"), "URL"),
        (("allow", "10.0.0.1"), "address"),
        (("allow", "*.github.io"), "--yes"),
        (("allow", "x.test", "--port", "99999"), "65535"),
        (("revoke", "github.com"), "domains.conf"),
        (("revoke", "never.test"), "not allowed by hand"),
    ],
)
def test_a_failed_request_names_the_reason(sandbox: Running, argv: tuple[str, ...], words: str) -> None:
    done = sandbox.codetainer(*argv)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr


def test_allowed_names_the_source_of_every_name(sandbox: Running) -> None:
    entries = json.loads(sandbox.codetainer("allowed", "--json").stdout)
    sources = {entry["name"]: entry["source"] for entry in entries}
    assert sources["github.com"] == "domains.conf:2"
    assert sources["*.wild.test"].startswith("domains.conf:")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("github.com", "domains.conf:2"),
        ("nowhere.test", "not on the allowlist"),
        ("github.com:22", "port not listed"),
        ("198.51.100.10:443", "github.com"),
        ("192.0.2.200", "no DNS lookup"),
        ("10.1.2.3", "private or metadata address"),
    ],
)
def test_explain_names_what_decides(sandbox: Running, target: str, words: str) -> None:
    assert words in sandbox.codetainer("explain", target).stdout


def test_freeze_stops_and_closes_and_thaw_undoes_it(sandbox: Running) -> None:
    assert sandbox.codetainer("freeze").returncode == 0
    try:
        assert sandbox.events(Froze)[-1].frozen
        assert connect(sandbox, "198.51.100.10") == "refused"
        for target in ("github.com", "198.51.100.10:443"):
            explained = sandbox.codetainer("explain", target)
            assert (explained.returncode, f"{target} is refused: the sandbox is frozen (by root at" in explained.stdout) == (
                1,
                True,
            )
    finally:
        assert sandbox.codetainer("thaw").returncode == 0
    assert connect(sandbox, "github.com") == "open"
    assert not sandbox.events(Froze)[-1].frozen


def test_refresh_resolves_everything_again(sandbox: Running) -> None:
    before = sandbox.asked(kind="dns", name="github.com")
    assert sandbox.codetainer("refresh").returncode == 0
    assert sandbox.asked(kind="dns", name="github.com") == before + 1
    eventually("it is reported", lambda: sandbox.events(ListMeasured))


def test_mute_is_recorded(sandbox: Running) -> None:
    assert sandbox.codetainer("mute", "noisy.test", "--for", "1h").returncode == 0
    assert sandbox.events(Muted)[-1].name == "noisy.test"


def test_suggest_prints_lines_for_the_allowlist(sandbox: Running) -> None:
    connect(sandbox, "wanted.test")
    eventually("it is counted", lambda: "wanted.test" in sandbox.codetainer("suggest").stdout)


def test_status_for_people_programs_and_the_agent(sandbox: Running) -> None:
    assert sandbox.codetainer("status").returncode == 1  # two listed names have no public address: degraded
    body = json.loads(sandbox.codetainer("status", "--json").stdout)
    assert body
    assert sandbox.root("status").returncode == 1
    assert sandbox.agent("codetainer", "status").returncode == 1


def test_extra_domains_and_bad_ones(tmp_path: Path) -> None:
    sandbox = start(tmp_path, f"extra-{os.getpid()}", CODETAINER_EXTRA_DOMAINS="unlisted.test, other.test:443,8443")
    try:
        assert connect(sandbox, "unlisted.test") == "open"
        assert connect(sandbox, "other.test", 8443) == "open"
        assert connect(sandbox, "other.test", 9443) == "refused"
    finally:
        sandbox.stop()


# Replaces git in the agent's PATH: writes endlessly, and leaves a process behind that keeps the output open.
ENDLESS = """#!/bin/sh
setsid -f sleep 3600
head -c 20000000 /dev/zero >&2
yes more | head -n 200000 >&2
echo the last word >&2
exit 3
"""


@pytest.fixture(scope="module")
def not_cloned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox whose repository was not cloned, because its host is missing from the allowlist."""
    running = start(
        tmp_path_factory.mktemp("not-cloned"), f"not-cloned-{os.getpid()}", listed="docs.test\n",
        REPO_URL="https://github.com/example/demo",
    )  # fmt: skip
    yield running
    running.stop()


def test_a_fake_git_of_the_agent_blocks_no_retry(not_cloned: Running) -> None:
    assert not_cloned.events(BootFinished)[-1].state is BootState.DEGRADED
    git = "/home/claude/.local/bin/git"
    not_cloned.agent("sh", "-c", f"mkdir -p ~/.local/bin; printf %s '{ENDLESS}' > {git}; chmod +x {git}")
    try:
        done = not_cloned.codetainer("retry")
        assert (done.returncode, "the last word" in done.stderr) == (1, True)
        assert len([event for event in not_cloned.events(StepOutput) if event.step == "clone"]) < 1000
    finally:
        not_cloned.agent("sh", "-c", f"rm {git}; pkill -f 'sleep 3600'")


def test_a_failed_step_is_retried_while_the_session_continues(not_cloned: Running) -> None:
    assert not_cloned.events(BootFinished)[-1].state is BootState.DEGRADED
    server = not_cloned.pane.pid
    failed = not_cloned.codetainer("retry")
    assert (failed.returncode, "boot ended: degraded" in failed.stderr) == (1, True)
    assert not_cloned.codetainer("allow", "github.com").returncode == 0
    done = not_cloned.codetainer("retry")
    assert (done.returncode, done.stdout) == (0, "repeated and done: Clone example/demo\n")
    assert not_cloned.codetainer("status").returncode == 0
    assert "no step of boot has failed" in not_cloned.codetainer("retry").stderr
    assert not_cloned.agent("test", "-e", "/workspace/repo/README.md").returncode == 0
    assert (not_cloned.pane.pid, bool(server)) == (server, True)


def test_boot_halts_with_a_reason_and_can_be_retried(tmp_path: Path) -> None:
    # Resolving a package registry takes a while; boot reads Claude's settings only afterwards.
    sandbox, boot = stopped_in_boot(
        lambda: start(tmp_path, f"retry-{os.getpid()}", listed="github.com\n@npm\n", until_released=False),
        late=lambda sandbox: any(started.step == "claude" for started in sandbox.events(StepStarted)),
    )
    try:
        sandbox.root("sh", "-c", "cd /opt/claude; mv settings.json good.json; echo '{' > settings.json")
        os.kill(boot, signal.SIGCONT)
        eventually("boot has finished", lambda: sandbox.state.lock_released)
        assert sandbox.state.boot == "halted"
        assert sandbox.state.halted_step == "claude"
        assert sandbox.codetainer("status").returncode == 2
        assert sandbox.agent("true").returncode == 0  # the container is held for inspection
        assert connect(sandbox, "198.51.100.10") == "refused"
        sandbox.root("mv", "/opt/claude/good.json", "/opt/claude/settings.json")
        done = sandbox.codetainer("retry")
        assert done.returncode == 0, done.stdout + done.stderr
        assert sandbox.state.boot == "ready", sandbox.state.reason
        assert connect(sandbox, "github.com") == "open"
    finally:
        sandbox.stop()
