"""Notifications to a real webhook and a real mail server outside the sandbox: delivered, bounded, and closed to the agent."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.events import BootFinished, BootState
from backend.contract.paths import NOTIFIER_UID, Paths
from backend.system import ROOT
from tests.netns.notification_service import MAIL_PORT, USER, WEB_PORT
from tests.netns.notified import (
    ADDRESS,
    HOOK,
    METADATA,
    NOTIFY,
    NTFY_TOKEN,
    SECRETS,
    TOPIC,
    Service,
    begin,
    measured,
    sent,
    uid,
)
from tests.netns.sandbox import eventually, number_inside

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("notify")
    # A long grace period, because the last notifications take a while on a busy machine.
    service = begin(folder, "notify", CODETAINER_NOTIFY=NOTIFY, CODETAINER_NOTIFY_TEXT="on", CODETAINER_GRACE="60s")
    try:
        yield service
    finally:
        if service.sandbox.process.poll() is None:
            service.sandbox.stop()
        service.end()


def test_the_start_is_reported_to_every_address(service: Service) -> None:
    eventually("the webhook got it", lambda: service.saying("has started"))
    (first, *_) = service.saying("has started")
    assert first["title"].startswith(f"{service.sandbox.name}: "), first  # the name that `up` gives it
    ntfy = eventually("the ntfy server got it", lambda: service.received(service="web", path="/", mode="ok"))[0]
    assert json.loads(ntfy["body"])["topic"] == TOPIC
    assert ntfy["credential"] == f"Bearer {NTFY_TOKEN}"
    mail = eventually("the mail server got it", lambda: service.received(service="mail"))[0]
    assert mail["to"] == ["you@mail.test"]
    assert mail["user"] == USER.decode()


def test_a_test_message_is_sent_at_once(service: Service) -> None:
    sent(service)
    done = service.sandbox.codetainer("notify", "--test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "address 1 (jsons): delivered",
        "address 2 (ntfys): delivered",
        "address 3 (mailtos): delivered",
    ]
    assert service.saying("this is a test")


@pytest.mark.parametrize(
    ("answer", "words"),
    [("301", "redirect"), ("403", "refused the credentials"), ("404", "no such topic"), ("429", "too many messages"),
     ("503", "the service failed")],
)  # fmt: skip
def test_an_answer_other_than_success_is_explained(service: Service, answer: str, words: str) -> None:
    """A redirect is not followed: the message would be lost on the way, and reported as delivered."""
    sent(service)
    service.answers(answer)
    try:
        done = service.sandbox.codetainer("notify", "--test")
    finally:
        service.answers("ok")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert words in lines[0], done.stderr
    assert words in lines[1], done.stderr
    assert lines[2] == "address 3 (mailtos): delivered"
    assert not service.received(path="/elsewhere")
    assert not any(secret in done.stderr for secret in SECRETS)


CONNECT = """
import json, socket, sys
results = []
for port in map(int, sys.argv[2:]):
    with socket.socket() as sock:
        sock.settimeout(30)
        results.append(sock.connect_ex((sys.argv[1], port)))
try:
    results.append(socket.getaddrinfo("hook.test", 443) and "resolved")
except socket.gaierror as error:
    results.append(error.errno)
print(json.dumps(results))
"""
LOOK = """
import json, sys
from pathlib import Path
seen = {}
for name in ("environ", "fd", "mem", "cmdline"):
    path = Path("/proc") / sys.argv[1] / name
    try:
        seen[name] = path.read_bytes().decode() if name != "fd" else str(list(path.iterdir()))
    except OSError as error:
        seen[name] = type(error).__name__
print(json.dumps(seen))
"""


def test_while_a_message_is_sent_the_agent_reaches_neither_service_nor_token(service: Service) -> None:
    sandbox = service.sandbox
    sent(service)
    service.answers("hold")
    command, environment = sandbox.called(ROOT, "codetainer", "notify", "--test")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as testing:
        try:
            eventually("a message is held", lambda: service.received(path=f"/{HOOK}", mode="hold"))
            elements = sandbox.root("nft", "-j", "list", "set", "inet", "codetainer", "notify4").stdout
            assert ADDRESS in elements  # it is open
            refused = sandbox.python(CONNECT, ADDRESS, WEB_PORT, MAIL_PORT, 443)
            assert refused == [errno.ECONNREFUSED] * 3 + [socket.EAI_NONAME]
            held = 0
            for process in sandbox.processes():
                number = number_inside(process)
                if uid(process) != NOTIFIER_UID or not number:
                    continue
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    environment_of = Path(f"/proc/{process.pid}/environ").read_bytes()
                except OSError:
                    continue  # the mail was delivered meanwhile
                held += 1
                assert "CapEff:\t0000000000000000" in status
                assert "NoNewPrivs:\t1" in status
                seen = sandbox.python(LOOK, number)
                assert {seen[name] for name in ("environ", "fd", "mem")} <= {"PermissionError", "FileNotFoundError"}, seen
                assert not any(secret in seen["cmdline"] for secret in SECRETS)
                assert not any(secret.encode() in environment_of for secret in SECRETS)
            assert held
        finally:
            service.answers("ok")
        out, err = testing.communicate(timeout=120)
    assert testing.returncode == 0, (out, err)


def test_the_self_test_tries_it(service: Service) -> None:
    assert service.sandbox.state.proof is not None
    assert service.sandbox.state.proof.results["notifications"] == ""
    assert service.sandbox.state.proof.results["credentials"] == ""


def test_a_waiting_agent_is_reported_with_its_question(service: Service) -> None:
    """The agent's hook reports that it waits; the question is on its screen."""
    service.sandbox.pane.send_keys("May I delete @everyone?", enter=False)
    eventually("it is on the screen", lambda: "May I delete" in service.sandbox.screen())
    hook = [
        str(service.sandbox.paths.hooks / "activity.py").removeprefix(str(service.sandbox.paths.root)),
        str(Paths().agent_report),
    ]
    service.sandbox.agent("mkdir", "-p", str(Paths().agent_report.parent))
    service.sandbox.agent("/usr/bin/python3", "-I", "-S", *hook, "waits")
    (message,) = eventually("it is delivered", lambda: service.saying("the agent waits for you"))
    assert "May I delete @\N{ZERO WIDTH SPACE}everyone?" in message["message"]


def refused_seriously(service: Service, port: int) -> None:
    service.sandbox.agent("/usr/bin/python3", "-c", f"import socket; socket.create_connection(('{METADATA}', {port}), 30)")


def test_a_message_is_delivered_after_an_outage(service: Service) -> None:
    sent(service)
    service.end()
    refused_seriously(service, 80)
    eventually("the outage is reported", lambda: measured(service).waiting == len(measured(service).failing) == 3)
    assert set(measured(service).failing.values()) == {"the connection was refused"}
    status = service.sandbox.codetainer("status").stdout
    assert "Notifications" in status
    assert "the connection was refused" in status
    assert service.sandbox.codetainer("notify").returncode == 1
    service.begin()
    # The next try is some seconds away; a test message that is delivered brings it forward.
    eventually("the service is back", lambda: service.sandbox.codetainer("notify", "--test").returncode == 0)
    eventually("it is delivered", lambda: service.saying("serious refusal", METADATA))
    sent(service)
    assert not measured(service).failing
    assert len(service.saying("serious refusal", METADATA)) == 1


FLOOD = """
import socket
for port in range(1, 301):
    with socket.socket() as sock:
        sock.settimeout(30)
        sock.connect_ex(("169.254.169.254", port))
print("null")
"""


def test_a_flood_is_one_message(service: Service) -> None:
    """It comes right after the message of the previous test, so it waits, and is counted, until the sandbox stops."""
    before = service.sandbox.state.refused_total
    service.sandbox.python(FLOOD)
    eventually("the refusals are counted", lambda: service.sandbox.state.refused_total >= before + 200)
    sent(service)
    assert len(service.saying("serious refusal")) == 1
    metrics = service.sandbox.agent("codetainer", "metrics").stdout
    assert "codetainer_notifications_failing 0" in metrics
    service.sandbox.stop()
    ((last, *rest), *_) = [service.saying("the sandbox stops")]
    assert not rest
    assert "serious refusal" in last["message"]
    assert "times)" in last["message"]
    assert len(service.saying("serious refusal")) == 2


def test_no_secret_is_in_the_output(service: Service) -> None:
    text = "".join((service.folder / name).read_text() for name in ("out", "err"))
    assert text
    assert not any(secret in text for secret in SECRETS)


def test_a_halted_boot_is_reported(tmp_path: Path) -> None:
    """The network is closed then, and neither the guard nor CoreDNS runs."""
    service = begin(tmp_path, "notify-halted", CODETAINER_NOTIFY=NOTIFY, CODETAINER_TMPFS_HOME="900000G")
    try:
        assert service.sandbox.events(BootFinished)[-1].state is BootState.HALTED
        message = eventually("it is delivered", lambda: service.saying("boot halted"))[0]
        assert message["type"] == "failure"
        journal = service.sandbox.paths.journal.read_text()
        assert not any(secret in journal for secret in SECRETS)
    finally:
        service.sandbox.stop()
        service.end()
