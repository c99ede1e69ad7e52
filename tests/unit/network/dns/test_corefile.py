"""Corefiles as text: a block a name, exactness, and nothing in them that no entry put there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network import allowlist
from network.allowlist import Allowlist, AllowlistError
from network.dns import corefile
from network.dns.corefile import RefusedQuery


def rendered(text: str) -> str:
    return corefile.render(allowlist.parse(text, "f").allowlist)


def blocks(text: str) -> dict[str, str]:
    return {found[1]: found[2] for found in re.finditer(r"^(\S+):53 \{\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL)}


def test_an_exact_name_turns_away_what_is_below() -> None:
    block = blocks(rendered("a.example\n"))["a.example"]
    assert r"refuse .\.a\.example\.$" in block
    assert "forward . 127.0.0.54:53" in block


def test_a_wildcard_turns_away_its_apex() -> None:
    assert r"refuse ^a\.example\.$" in blocks(rendered("*.a.example\n"))["a.example"]


@pytest.mark.parametrize("text", ["a.example\n*.a.example\n", "*.example.org\na.example.org\n"])
def test_where_both_are_open_nothing_is_turned_away(text: str) -> None:
    zone = allowlist.parse(text, "f").allowlist.entries[-1].name
    assert "refuse" not in blocks(rendered(text))[zone]


def test_the_rest_does_not_exist_and_goes_nowhere() -> None:
    rest = blocks(rendered("a.example\n"))["."]
    assert "    refuse\n" in rest
    assert "forward" not in rest


def test_above_a_thousand_names_the_guard_decides() -> None:
    text = rendered("".join(f"n{number}.example\n" for number in range(1001)))
    assert list(blocks(text)) == ["."]
    assert "forward . 127.0.0.54:53" in text


def test_the_cache_never_outlives_an_open_address() -> None:
    assert f"success 8192 {corefile.CACHE_SECONDS} 0" in rendered("a.example\n")
    assert "servfail 0s" in rendered("a.example\n")


@given(st.lists(st.text(max_size=30), max_size=5))
def test_no_list_makes_a_block_that_it_does_not_name(lines: list[str]) -> None:
    try:
        listed = allowlist.parse("\n".join(lines), "f").allowlist
    except AllowlistError:
        return
    found = blocks(corefile.render(listed))
    assert set(found) == {entry.name for entry in listed.entries} | {"."}
    assert corefile.render(listed).count("forward ") == len(found) - 1


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("refused A evil.example. 40212", RefusedQuery("A", "evil.example", 40212)),
        ("refused TXT Secret.Evil.Example. 0", RefusedQuery("TXT", "secret.evil.example")),
        ("refused A a.example.", None),
        ("[INFO] refused A a.example. NXDOMAIN", None),
        ("[INFO] plugin/reload: Running configuration", None),
        ("", None),
    ],
)
def test_log_lines(line: str, found: RefusedQuery | None) -> None:
    assert corefile.parse_log_line(line) == found


@given(st.text())
def test_any_log_line_is_read_or_passed_over(line: str) -> None:
    found = corefile.parse_log_line(line)
    assert found is None or not re.search(r"\s", found.name)


def test_an_empty_list_serves_nothing() -> None:
    assert list(blocks(corefile.render(Allowlist()))) == ["."]
