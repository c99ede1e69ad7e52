"""Corefiles as text: one block per name, exact matches, and no text but the entries'."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network import allowlist
from network.allowlist import Allowlist, AllowlistError
from network.dns import corefile
from network.dns.corefile import LoggedQuery


def rendered(text: str) -> str:
    return corefile.render(allowlist.parse(text, "f").allowlist)


def blocks(text: str) -> dict[str, str]:
    return {match[1]: match[2] for match in re.finditer(r"^(\S+):53 \{\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL)}


def test_an_exact_entry_refuses_names_below_it() -> None:
    block = blocks(rendered("a.example\n"))["a.example"]
    assert r"refuse .\.a\.example\.$" in block
    assert "forward . 127.0.0.54:53" in block


def test_a_wildcard_refuses_its_apex() -> None:
    assert r"refuse ^a\.example\.$" in blocks(rendered("*.a.example\n"))["a.example"]


@pytest.mark.parametrize("text", ["a.example\n*.a.example\n", "*.example.org\na.example.org\n"])
def test_a_name_with_a_wildcard_refuses_nothing(text: str) -> None:
    zone = allowlist.parse(text, "f").allowlist.entries[-1].name
    assert "refuse" not in blocks(rendered(text))[zone]


def test_unlisted_names_are_refused_and_never_forwarded() -> None:
    rest = blocks(rendered("a.example\n"))["."]
    assert "    refuse\n" in rest
    assert "forward" not in rest


def test_above_a_thousand_names_the_guard_decides() -> None:
    text = rendered("".join(f"n{number}.example\n" for number in range(1001)))
    assert list(blocks(text)) == ["localhost", "."]
    assert "forward . 127.0.0.54:53" in text


def test_the_cache_never_outlives_an_open_address() -> None:
    assert f"success 8192 {corefile.CACHE_SECONDS} 0" in rendered("a.example\n")
    assert "servfail 0s" in rendered("a.example\n")


@given(st.lists(st.text(max_size=30), max_size=5))
def test_every_block_belongs_to_an_entry(lines: list[str]) -> None:
    try:
        listed = allowlist.parse("\n".join(lines), "f").allowlist
    except AllowlistError:
        return
    served = blocks(corefile.render(listed))
    assert set(served) == {entry.name for entry in listed.entries} | {"localhost", "."}
    assert corefile.render(listed).count("forward ") == len(served) - 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("refused A evil.example. 40212", LoggedQuery("A", "evil.example", 40212)),
        ("refused TXT Secret.Evil.Example. 0", LoggedQuery("TXT", "secret.evil.example")),
        ("refused A a.example.", None),
        ("[INFO] refused A a.example. NXDOMAIN", None),
        ("[INFO] plugin/reload: Running configuration", None),
        ("", None),
    ],
)
def test_log_lines(line: str, expected: LoggedQuery | None) -> None:
    assert corefile.parse_log_line(line) == expected


@given(st.text())
def test_any_log_line_is_parsed_or_ignored(line: str) -> None:
    refused = corefile.parse_log_line(line)
    assert refused is None or not re.search(r"\s", refused.name)


def test_an_empty_allowlist_serves_nothing() -> None:
    assert list(blocks(corefile.render(Allowlist()))) == ["localhost", "."]


@pytest.mark.parametrize("host", ["box", "box.example.net"])
def test_the_sandboxs_own_name_is_answered_here(host: str) -> None:
    served = blocks(corefile.render(allowlist.parse("a.example\n", "f").allowlist, host))
    assert set(served) == {"localhost", host, "a.example", "."}
    assert "template" in served[host]
    assert "forward" not in served[host] + served["localhost"]
    assert rf"refuse .\.{re.escape(host)}\.$" in served[host]


@pytest.mark.parametrize("host", ["", "a.example", "b.wild.example", "localhost", "box\n}", "x{y", "Ä"])
def test_a_host_name_that_is_listed_or_odd_has_no_block(host: str) -> None:
    listed = allowlist.parse("a.example\n*.wild.example\n", "f").allowlist
    assert set(blocks(corefile.render(listed, host))) == {"localhost", "a.example", "wild.example", "."}


def test_in_a_learning_run_the_guard_decides_about_every_name() -> None:
    text = corefile.render_learning(allowlist.parse("a.example\n", "f").allowlist, "sandbox")
    assert list(blocks(text)) == ["localhost", "sandbox", "."]
    everything = text.partition("\n.:53 {")[2]
    assert "    tell\n" in everything
    assert "refuse" not in everything
    assert "disable denial" in everything
    assert "allow type A\n" in everything
    assert corefile.render_learning(allowlist.parse("b.example\n", "f").allowlist, "sandbox") == text


def test_a_line_of_a_learning_run() -> None:
    assert corefile.parse_log_line("asked A New.Example. 40212") == LoggedQuery("A", "new.example", 40212, refused=False)
