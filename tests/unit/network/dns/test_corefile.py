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

NAMES = "/run/codetainer/names"


def listed(text: str, own: str = "") -> str:
    return corefile.listed(allowlist.parse(text, "f").allowlist, own)


def blocks(text: str) -> dict[str, str]:
    return {match[1]: match[2] for match in re.finditer(r"^(\S+):53 \{\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL)}


def test_names_that_are_not_listed_are_refused_before_they_are_forwarded() -> None:
    """The order of plugins is in network/dns/coredns/main.go."""
    text = corefile.render(NAMES)
    assert list(blocks(text)) == ["localhost", "."]
    assert f"    refuse {NAMES}\n" in blocks(text)["."]
    assert "forward . 127.0.0.54:53" in blocks(text)["."]
    assert "forward" not in blocks(text)["localhost"]


def test_the_file_has_a_line_for_each_entry() -> None:
    assert listed("a.example\n*.a.example\nB.Example:8443\n", "box") == "a.example\n*.a.example\nb.example\nbox\n"
    assert corefile.listed(Allowlist()) == ""


def test_the_cache_never_outlives_an_open_address() -> None:
    assert f"success 8192 {corefile.CACHE_SECONDS} 0" in corefile.render(NAMES)
    assert "servfail 0s" in corefile.render(NAMES)


@given(st.lists(st.text(max_size=30), max_size=5))
def test_every_line_is_an_entry(lines: list[str]) -> None:
    try:
        found = allowlist.parse("\n".join(lines), "f").allowlist
    except AllowlistError:
        return
    assert corefile.listed(found).splitlines() == [entry.pattern for entry in found.entries]


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


@pytest.mark.parametrize("host", ["box", "box.example.net", "a-b"])
def test_the_sandboxs_own_name_is_answered_here(host: str) -> None:
    found = allowlist.parse("a.example\n", "f").allowlist
    assert corefile.own_name(host, found) == host
    block = blocks(corefile.render(NAMES, host))["."]
    assert rf"template IN A {host} {{" in block
    assert rf"match ^{re.escape(host)}\.$" in block
    assert "fallthrough" in block
    assert corefile.is_local(host, found, host)


@pytest.mark.parametrize("host", ["", "a.example", "b.wild.example", "wild.example", "localhost", "box\n}", "x{y", "Ä"])
def test_a_host_name_that_is_listed_or_odd_is_not_answered_here(host: str) -> None:
    found = allowlist.parse("a.example\n*.wild.example\n", "f").allowlist
    assert corefile.own_name(host, found) == ""
    assert "template" not in blocks(corefile.render(NAMES))["."]


def test_in_a_learning_run_the_guard_decides_about_every_name() -> None:
    text = corefile.render_learning("sandbox")
    assert list(blocks(text)) == ["localhost", "."]
    everything = blocks(text)["."]
    assert "    tell\n" in everything
    assert "refuse" not in everything
    assert "template IN A sandbox {" in everything
    assert "disable denial" in everything
    assert "allow type A\n" in everything


def test_a_line_of_a_learning_run() -> None:
    assert corefile.parse_log_line("asked A New.Example. 40212") == LoggedQuery("A", "new.example", 40212, refused=False)
