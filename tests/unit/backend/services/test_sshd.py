"""What sshd says becomes events; whether it listens is its own word, and never its silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract.events import Event, Noted
from backend.contract.paths import Paths
from backend.services import sshd
from backend.services.service import Word
from backend.services.sshd import Sshd
from backend.system import SystemFailure

LISTENS = "Server listening on 0.0.0.0 port 22."
STRANGER = "Invalid user admin from 203.0.113.9 port 40000"
LOGIN = "Accepted publickey for root from 203.0.113.7 port 50000 ssh2: ED25519 SHA256:abc"


def heard(folder: Path, *lines: str) -> tuple[list[Event], list[Word]]:
    events: list[Event] = []
    service = Sshd(Paths(folder), events.append)
    return events, [service._heard(line) for line in lines]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (LISTENS, Word.READY),
        ("error: Bind to port 22 on 0.0.0.0 failed: in use", Word.NEVER),
        ("Server listening on :: port 22.", Word.LAST),
        ("Missing privilege separation directory", Word.LAST),
        (STRANGER, Word.NOTHING),  # no stranger gives the reason
        (LOGIN, Word.NOTHING),
    ],
)
def test_what_a_line_means_for_its_start(tmp_path: Path, line: str, word: Word) -> None:
    assert heard(tmp_path, line)[1] == [word]


def test_logins_are_told_one_by_one_and_strangers_by_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events, _ = heard(tmp_path, LISTENS, *[STRANGER] * 3, LOGIN, *[STRANGER] * 3)
    assert [event.text for event in events if isinstance(event, Noted)] == [
        "ssh: turned away without a key: 1",  # the first at once, the others when a minute is over
        "ssh: login from 203.0.113.7 with ED25519 SHA256:abc",
    ]
    monkeypatch.setattr(sshd, "TOLD_SECONDS", 0.0)
    events, _ = heard(tmp_path, LISTENS, *[STRANGER] * 2)
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
def test_an_account_that_is_locked_lets_no_key_in(shadow: str, is_locked: bool) -> None:
    assert sshd.locked(shadow) is is_locked


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    (tmp_path / "sshd").touch()
    monkeypatch.setattr(sshd, "PROGRAM", tmp_path / "sshd")
    found = Paths(tmp_path)
    found.run.mkdir(parents=True)
    return found


def test_what_was_pinned_is_kept_and_only_root_reads_it(paths: Paths) -> None:
    service = Sshd(paths, lambda _: None)
    service._prepare(("ssh-ed25519 AAAA one",), 22)
    files = [file for file in paths.ssh.iterdir() if file.is_file()]
    before = (paths.ssh / "host_key").read_text()
    service._prepare(("ssh-ed25519 AAAA two",), 22)
    assert (paths.ssh / "host_key").read_text() == before
    assert (paths.ssh / "authorized_keys").read_text() == "ssh-ed25519 AAAA two\n"
    assert paths.ssh.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_what_keeps_it_from_starting_is_said_with_the_remedy(paths: Paths) -> None:
    (paths.root / "etc").mkdir()
    (paths.root / "etc/shadow").write_text("root:!:19000::::::\n")
    with pytest.raises(SystemFailure, match="root's account is locked"):
        Sshd(paths, lambda _: None)._prepare((), 22)
    sshd.PROGRAM.unlink()
    with pytest.raises(SystemFailure, match="it is not installed"):
        Sshd(paths, lambda _: None)._prepare((), 22)
