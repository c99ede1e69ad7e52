"""What `explain` makes of what it is asked: names, addresses, ports, and what is none of these."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.guard.explanation import explain
from backend.guard.nftables import Nftables
from backend.guard.openings import Openings
from backend.guard.refusals import Refusals
from network import allowlist
from tests.unit.backend.guard.kernel import Kernel

LISTED = allowlist.parse("a.example\nports.example:8443\n", "domains.conf").allowlist


def said(target: str) -> str:
    openings = Openings(cast(Nftables, Kernel()), lambda: 0.0)
    a = LISTED.match("a.example")
    assert a is not None
    openings.admit("a.example", a, ["198.51.100.1"], 60)
    refusals = Refusals(lambda address: openings.last_names.get(address, ""), LISTED.match)
    return explain(target, LISTED, openings, refusals.reason)[0]


ANSWERS = [
    ("a.example", "a.example is open on 443, 80: a.example (domains.conf:1); addresses now: 198.51.100.1"),
    ("A.example.:443", "a.example is open on 443: "),
    ("a.example:22", "a.example is open on 443, 80, port 22 is refused (a.example, domains.conf:1)"),
    ("ports.example:8443", "ports.example is open on 8443"),
    ("b.example", "b.example is refused by name: it is not on the list"),
    ("b.example:8443", "b.example is refused by name"),
    ("198.51.100.1:443", "198.51.100.1:443 is open for "),
    ("198.51.100.1", "198.51.100.1:443 is open for "),
    ("198.51.100.1:22", "198.51.100.1:22 is refused: port not listed (a.example)"),
    ("198.51.100.9", "198.51.100.9:443 is refused: never resolved"),
    ("10.0.0.1", "10.0.0.1:443 is refused: private range"),
    ("2001:db8::1", "2001:db8::1 is refused: nothing leaves over IPv6"),
    ("[2001:db8::1]:443", "2001:db8::1 is refused: nothing leaves over IPv6"),
    ("[2001:db8::1]", "2001:db8::1 is refused: nothing leaves over IPv6"),
    ("zzz", "zzz is refused by name: a single label is no public name"),
]


@pytest.mark.parametrize(("target", "words"), ANSWERS)
def test_what_would_happen(target: str, words: str) -> None:
    assert said(target).startswith(words)


NEITHER = [
    ("http://a.example", "a URL is no name; the host alone is: codetainer explain a.example"),
    ("https://user@a.example:8443/path?x=http://b.example", "the host alone is: codetainer explain a.example:8443"),
    ("a.example/path", "a label holds letters, digits, - and _ only"),
    ("a.example:", "a port is a number from 1 to 65535"),
    ("a.example:https", "a port is a number from 1 to 65535"),
    ("a.example:0", "a port is a number from 1 to 65535"),
    ("a.example:65536", "a port is a number from 1 to 65535"),
    ("[2001:db8::1]:x", "a port is a number"),
    ("2001:db8::1:zz", "a label holds letters"),
    ("[a.example]:443", "only an IPv6 address stands in brackets"),
    ("1.2.3", "an address is no name"),
    ("*.a.example", "a label holds letters"),
    ("", "a name is missing"),
    ("two words", "a label holds letters"),
]


@pytest.mark.parametrize(("target", "words"), NEITHER)
def test_what_is_neither_name_nor_address_is_said_to_be_none(target: str, words: str) -> None:
    with pytest.raises(ValueError, match="cannot explain") as failure:
        said(target)
    assert words in str(failure.value)


@given(st.text(max_size=30) | st.from_regex(r"[a-f0-9:.\[\]/]{0,30}", fullmatch=True))
def test_whatever_is_asked_is_answered_or_said_to_be_no_question(target: str) -> None:
    try:
        assert said(target)
    except ValueError as error:
        assert str(error).startswith("cannot explain ")
