"""Messages between supervisor and guard: encoding and decoding."""

from __future__ import annotations

import pytest

from backend.guard import channel
from backend.guard.channel import (
    Amend,
    Configure,
    Configured,
    Done,
    Explain,
    Happened,
    ListedName,
    Message,
    Ping,
    Refresh,
    Resolve,
)


@pytest.mark.parametrize(
    "message",
    [
        Configure((ListedName("a.example", True, ((443, "tls"), (22, "address")), "f:1"),), ("203.0.113.53",), gate=True, id=3),
        Amend(2, (ListedName("a.example", False, ((443, "tls"),), "by hand"),), ("*.b.example",), id=3),
        Ping(id=1),
        Refresh(id=2),
        Resolve("a.example", id=3),
        Explain("a\nb", id=4),
        Configured(3, "no"),
        Done(1, True, "x", {"resolved": 2}),
        Happened('{"a": "\\n"}'),
    ],
)
def test_round_trip(message: Message) -> None:
    line = channel.encode(message)
    assert line.count(b"\n") == 1
    assert channel.decode(line) == message


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b'{"message": "x"}', b'{"message": "resolve"}', b'{"message": "explain", "id": "1", "target": 2}'],
)
def test_invalid_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        channel.decode(line)


A, B, WILD = (ListedName(name, below, ((443, "tls"),), "f:1") for name, below in (("a", False), ("b", False), ("a", True)))
B_MORE = ListedName("b", False, ((443, "tls"), (22, "address")), "f:1")


@pytest.mark.parametrize(
    ("before", "now", "amend"),
    [
        ((A,), (A, WILD), Amend(7, (WILD,))),
        ((A, B), (A,), Amend(7, (), ("b",))),
        ((A, B), (WILD, B_MORE), Amend(7, (WILD, B_MORE), ("a",))),
        ((A, B), (B, A), None),
        ((), tuple(ListedName(f"n{n}", False, (), "") for n in range(channel.MAX_AMENDED + 1)), None),
    ],
)
def test_an_amendment_has_only_the_entries_that_differ(
    before: tuple[ListedName, ...], now: tuple[ListedName, ...], amend: Amend | None
) -> None:
    assert channel.amendment(Configure(before, (), id=7), Configure(now, (), id=8)) == amend


def test_other_settings_are_not_amended() -> None:
    assert channel.amendment(Configure((A,), ()), Configure((A, B), (), paused=True)) is None
