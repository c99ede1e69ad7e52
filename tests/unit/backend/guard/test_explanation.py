"""`explain` for names, addresses and ports, and its errors for anything else."""

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


def explained(target: str) -> str:
    openings = Openings(cast(Nftables, Kernel()), lambda: 0.0)
    a = LISTED.match("a.example")
    assert a is not None
    openings.admit("a.example", a, ["198.51.100.1"], 60)
    refusals = Refusals(lambda address: openings.last_names.get(address, ""), LISTED.match)
    return explain(target, LISTED, openings, refusals.reason)[0]


ANSWERS = [
    ("a.example", "a.example is open on 443, 80: a.example (domains.conf:1); current addresses: 198.51.100.1"),
    ("A.example.:443", "a.example is open on 443: "),
    ("a.example:22", "a.example is open on 443, 80, but port 22 is refused (a.example, domains.conf:1)"),
    ("ports.example:8443", "ports.example is open on 8443"),
    ("b.example", "b.example is refused by name: it is not on the allowlist"),
    ("b.example:8443", "b.example is refused by name"),
    ("198.51.100.1:443", "198.51.100.1:443 is open for "),
    ("198.51.100.1", "198.51.100.1:443 is open for "),
    ("198.51.100.1:22", "198.51.100.1:22 is refused: port not listed (a.example)"),
    ("198.51.100.9", "198.51.100.9:443 is refused: never resolved"),
    ("10.0.0.1", "10.0.0.1:443 is refused: private range"),
    ("2001:db8::1", "2001:db8::1 is refused: nothing leaves over IPv6"),
    ("[2001:db8::1]:443", "2001:db8::1 is refused: nothing leaves over IPv6"),
    ("[2001:db8::1]", "2001:db8::1 is refused: nothing leaves over IPv6"),
    ("zzz", "zzz is refused by name: a single label is not a public name"),
]


@pytest.mark.parametrize(("target", "words"), ANSWERS)
def test_names_and_addresses_are_explained(target: str, words: str) -> None:
    assert explained(target).startswith(words)


INVALID = [
    ("http://a.example", "expected a host, not a URL. For the host alone, run codetainer explain a.example"),
    ("https://user@a.example:8443/path?x=http://b.example", "run codetainer explain a.example:8443"),
    ("a.example/path", "a label can contain only letters, digits, - and _"),
    ("a.example:", "a port must be a number from 1 to 65535"),
    ("a.example:https", "a port must be a number from 1 to 65535"),
    ("a.example:0", "a port must be a number from 1 to 65535"),
    ("a.example:65536", "a port must be a number from 1 to 65535"),
    ("[2001:db8::1]:x", "a port must be a number"),
    ("2001:db8::1:zz", "a label can contain only letters"),
    ("[a.example]:443", "only an IPv6 address may be in brackets"),
    ("1.2.3", "expected a host name, not an address"),
    ("*.a.example", "a label can contain only letters"),
    ("", "the name is missing"),
    ("two words", "a label can contain only letters"),
]


@pytest.mark.parametrize(("target", "words"), INVALID)
def test_anything_but_a_name_or_an_address_is_an_error(target: str, words: str) -> None:
    with pytest.raises(ValueError, match="cannot explain") as failure:
        explained(target)
    assert words in str(failure.value)


@given(st.text(max_size=30) | st.from_regex(r"[a-f0-9:.\[\]/]{0,30}", fullmatch=True))
def test_any_text_is_explained_or_an_error(target: str) -> None:
    try:
        assert explained(target)
    except ValueError as error:
        assert str(error).startswith("cannot explain ")
