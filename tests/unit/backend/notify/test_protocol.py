"""Messages between supervisor and sender."""

from __future__ import annotations

import json

import pytest

from backend.notify import protocol
from backend.notify.protocol import Outcome
from network.service_addresses import parse


def test_an_order_survives_the_wire_and_shows_nothing() -> None:
    (to,) = parse("ntfys://tk_secret123@ntfy.example.com/topic")
    order = protocol.order(to, ("203.0.113.53",), title="t", body="line 1\nline 2", type="info", priority="low")
    line = protocol.encode_order(order)
    assert line.count(b"\n") == 1
    assert protocol.decode_order(line) == order
    assert "tk_secret123" not in repr(order)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"library": "exec", "tls": "none"}', b"x"])
def test_a_malformed_order_is_refused(line: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        protocol.decode_order(line)


@pytest.mark.parametrize(
    "addresses", [[], ["127.0.0.1"], ["203.0.113.1", "169.254.169.254"], ["x"], [1], "203.0.113.1", ["203.0.113.1"] * 9]
)
def test_a_sender_cannot_open_other_addresses(addresses: object) -> None:
    with pytest.raises(ValueError):
        protocol.decode_addresses(json.dumps(addresses).encode())


def test_addresses_survive_the_wire() -> None:
    assert protocol.decode_addresses(protocol.encode_addresses(["203.0.113.1", "10.0.0.9"])) == ("203.0.113.1", "10.0.0.9")


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_words_and_its_own_exit_code(outcome: Outcome) -> None:
    assert outcome.words
    assert protocol.of_exit_code(outcome) is (outcome if outcome < Outcome.TOO_LONG else Outcome.FAILED)


@pytest.mark.parametrize("code", [-9, 1, 2, 60, 61, 255])
def test_other_exit_codes_are_failures(code: int) -> None:
    assert protocol.of_exit_code(code) is Outcome.FAILED
