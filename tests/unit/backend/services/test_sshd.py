"""sshd's log lines become events, and only its own log line counts as ready."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract.events import Event, Noted
from backend.contract.paths import Paths
from backend.services import sshd
from backend.services.service import StartSignal
from backend.services.sshd import Sshd
from backend.system import SystemFailure

LISTENS = "Server listening on 0.0.0.0 port 22."
STRANGER = "Invalid user admin from 203.0.113.9 port 40000"
LOGIN = "Accepted publickey for root from 203.0.113.7 port 50000 ssh2: ED25519 SHA256:abc"


def interpreted(folder: Path, *lines: str) -> tuple[list[Event], list[StartSignal]]:
    events: list[Event] = []
    service = Sshd(Paths(folder), events.append)
    return events, [service._interpret(line) for line in lines]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (LISTENS, StartSignal.READY),
        ("error: Bind to port 22 on 0.0.0.0 failed: in use", StartSignal.FAILED),
        ("Server listening on :: port 22.", StartSignal.REASON),
        ("Missing privilege separation directory", StartSignal.REASON),
        (STRANGER, StartSignal.NONE),  # a client cannot inject the reason
        (LOGIN, StartSignal.NONE),
    ],
)
def test_start_signals_of_log_lines(tmp_path: Path, line: str, expected: StartSignal) -> None:
    assert interpreted(tmp_path, line)[1] == [expected]


def test_logins_are_reported_one_by_one_and_rejected_clients_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events, _ = interpreted(tmp_path, LISTENS, *[STRANGER] * 3, LOGIN, *[STRANGER] * 3)
    assert [event.text for event in events if isinstance(event, Noted)] == [
        "ssh: connections without a valid key: 1",  # the first at once, the others after a minute
        "ssh: login from 203.0.113.7 with ED25519 SHA256:abc",
    ]
    monkeypatch.setattr(sshd, "REPORT_SECONDS", 0.0)
    events, _ = interpreted(tmp_path, LISTENS, *[STRANGER] * 2)
    assert len(events) == 2


@pytest.mark.parametrize(
    ("shadow", "is_locked"),
    [
        ("root:!:19000::::::\n", True),
        ("daemon:*:1::::::\nroot:!$6$x:19000::::::\n", True),
        ("root:*:19000::::::\ndaemon:!:1::::::\n", False),
        ("rooty:!:1::::::\n", False),
        ("root::19000::::::\n", False),
        ("", False),
    ],
)
def test_locked_accounts(shadow: str, is_locked: bool) -> None:
    assert sshd.locked(shadow) is is_locked


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    (tmp_path / "sshd").touch()
    monkeypatch.setattr(sshd, "PROGRAM", tmp_path / "sshd")
    made = Paths(tmp_path)
    made.run.mkdir(parents=True)
    return made


def test_a_second_boot_keeps_the_host_key_and_only_root_can_read_it(paths: Paths) -> None:
    service = Sshd(paths, lambda _: None)
    service._prepare(("ssh-ed25519 AAAA one",), 22)
    files = [file for file in paths.ssh.iterdir() if file.is_file()]
    before = (paths.ssh / "host_key").read_text()
    service._prepare(("ssh-ed25519 AAAA two",), 22)
    assert (paths.ssh / "host_key").read_text() == before
    assert (paths.ssh / "authorized_keys").read_text() == "ssh-ed25519 AAAA two\n"
    assert paths.ssh.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_locked_account_or_a_missing_program_is_an_error(paths: Paths) -> None:
    (paths.root / "etc").mkdir()
    (paths.root / "etc/shadow").write_text("root:!:19000::::::\n")
    with pytest.raises(SystemFailure, match="root's account is locked"):
        Sshd(paths, lambda _: None)._prepare((), 22)
    sshd.PROGRAM.unlink()
    with pytest.raises(SystemFailure, match="it is not installed"):
        Sshd(paths, lambda _: None)._prepare((), 22)
