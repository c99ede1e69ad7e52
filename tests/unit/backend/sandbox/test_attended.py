"""Detecting that the operator detached from the session."""

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
    with leaving.enforced():
        for data in typed:
            leaving.typed(data)
    return leaving.wanted


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("letter", LETTERS)
def test_the_keys_are_recognised_in_every_encoding(prefix: bytes, letter: bytes) -> None:
    assert wanted(prefix + letter)
    assert wanted(b"some text", prefix, letter)
    assert wanted(*(bytes([byte]) for byte in b"text" + prefix + letter))


@pytest.mark.parametrize(
    "typed",
    [
        (b"",),
        (b"text that the operator types",),
        (b"\x02",),
        (b"\x02D",),
        (b"d\x02",),
        (b"\x02\x02d",),  # for a tmux inside the session
        (b"\x02d", b"q"),  # the later key was meant for the session
        (b"\x02d", b"y\r"),
        (b"\x02d\x1b[200~pasted\x1b[201~",),
    ],
)
def test_other_input_does_not_detach(typed: tuple[bytes, ...]) -> None:
    assert not wanted(*typed)


@pytest.mark.parametrize(
    "report",
    [
        b"\x1b[O", b"\x1b[I", b"\x1b[?64;1;2c", b"\x1b[>41;367;0c", b"\x1b[12;40R", b"\x1b[?2026;2$y",
        b"\x1b[<0;10;5M", b"\x1b[<0;10;5m",
        b"\x1b]11;rgb:0000/0000/0000\x1b\\", b"\x1bP>|xterm(367)\x1b\\", b"\x1b[0n", b"\x1b[8;24;80t",
    ],
)  # fmt: skip
def test_reports_of_the_terminal_change_nothing(report: bytes) -> None:
    """A window sends one when it loses focus, and the agent can provoke others."""
    assert wanted(b"\x02d", report, report)
    assert not wanted(b"\x02d", report, b"q")


def test_keys_from_long_ago_do_not_count() -> None:
    leaving = Detaching()
    with leaving.enforced():
        leaving.typed(b"\x02d")
        leaving._at -= 60.0
    assert not leaving.wanted


def test_a_client_that_does_not_detach_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Detaching, "SECONDS", 0.01)
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *what: sent.append(what))
    leaving = Detaching()
    client = os.open("/dev/null", os.O_RDONLY)
    with leaving.enforced():
        leaving.began(client)
        leaving.typed(b"\x02d")
        deadline = time.monotonic() + 30
        while not sent and time.monotonic() < deadline:
            time.sleep(0.001)
    assert sent == [(client, signal.SIGKILL)]
    with pytest.raises(OSError):
        os.fstat(client)
