"""Messages between supervisor and guard survive the line."""

from __future__ import annotations

import pytest

from backend.guard import channel
from backend.guard.channel import Configure, Configured, Do, Done, Happened, ListedName, Message


@pytest.mark.parametrize(
    "message",
    [
        Configure(
            3, (ListedName("a.example", True, ((443, "tls"), (22, "address")), "f:1", 5.0),), ("203.0.113.53",), gate=True
        ),
        Do(1, "explain", "a\nb"),
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
    "line", [b"", b"{}", b"[]", b'{"message": "x"}', b'{"message": "do"}', b'{"message": "do", "id": "1", "verb": 2}']
)
def test_what_is_no_message(line: bytes) -> None:
    with pytest.raises(ValueError):
        channel.decode(line)
