"""Whether it was the operator who left the session."""

from __future__ import annotations

import os
import signal
import time

import pytest

from backend.sandbox.attended import Detaching

PREFIXES = [b"\x02", b"\x1b[27;5;98~", b"\x1b[98;5u", b"\x1b[98;5:1u"]
LETTERS = [b"d", b"\x1b[27;1;100~", b"\x1b[100u", b"\x1b[100;1u", b"\x1b[100;1:1u"]


def wanted(*typed: bytes) -> bool:
    leaving = Detaching()
    with leaving.taking_away():
        for data in typed:
            leaving.typed(data)
    return leaving.wanted


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("letter", LETTERS)
def test_the_keys_in_each_form_that_terminals_send(prefix: bytes, letter: bytes) -> None:
    assert wanted(prefix + letter)
    assert wanted(b"some text", prefix, letter)
    assert wanted(*(bytes([byte]) for byte in b"text" + prefix + letter))


@pytest.mark.parametrize(
    "typed",
    [
        (b"",),
        (b"what the operator types, and goes on to type",),
        (b"\x02",),
        (b"\x02D",),
        (b"d\x02",),
        (b"\x02\x02d",),  # for a tmux within the session
        (b"\x02d", b"q"),  # what came after it was meant for somebody
        (b"\x02d", b"y\r"),
        (b"\x02d\x1b[200~pasted\x1b[201~",),
    ],
)
def test_what_is_no_wish_to_leave(typed: tuple[bytes, ...]) -> None:
    assert not wanted(*typed)


@pytest.mark.parametrize(
    "report",
    [
        b"\x1b[O", b"\x1b[I", b"\x1b[?64;1;2c", b"\x1b[>41;367;0c", b"\x1b[12;40R", b"\x1b[?2026;2$y",
        b"\x1b[<0;10;5M", b"\x1b[<0;10;5m",
        b"\x1b]11;rgb:0000/0000/0000\x1b\\", b"\x1bP>|xterm(367)\x1b\\", b"\x1b[0n", b"\x1b[8;24;80t",
    ],
)  # fmt: skip
def test_what_a_terminal_says_by_itself_changes_nothing(report: bytes) -> None:
    """The agent can make it say such things, and a window that loses the focus does."""
    assert wanted(b"\x02d", report, report)
    assert not wanted(b"\x02d", report, b"q")


def test_a_wish_of_long_ago_is_none() -> None:
    leaving = Detaching()
    with leaving.taking_away():
        leaving.typed(b"\x02d")
        leaving._at -= 60.0
    assert not leaving.wanted


def test_who_does_not_let_go_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Detaching, "SECONDS", 0.01)
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *what: sent.append(what))
    leaving = Detaching()
    client = os.open("/dev/null", os.O_RDONLY)
    with leaving.taking_away():
        leaving.began(client)
        leaving.typed(b"\x02d")
        deadline = time.monotonic() + 30
        while not sent and time.monotonic() < deadline:
            time.sleep(0.001)
    assert sent == [(client, signal.SIGKILL)]
    with pytest.raises(OSError):
        os.fstat(client)
