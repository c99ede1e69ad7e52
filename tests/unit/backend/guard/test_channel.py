"""Messages between supervisor and guard: encoding and decoding."""

from __future__ import annotations

import pytest

from backend.guard import channel
from backend.guard.channel import Configure, Configured, Done, Explain, Happened, ListedName, Message, Ping, Refresh, Resolve


@pytest.mark.parametrize(
    "message",
    [
        Configure((ListedName("a.example", True, ((443, "tls"), (22, "address")), "f:1"),), ("203.0.113.53",), gate=True, id=3),
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
