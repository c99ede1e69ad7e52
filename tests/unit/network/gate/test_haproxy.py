"""The gate's configuration and lists as text, and its log and tables parsed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.allowlist import parse
from network.gate import haproxy
from network.gate.haproxy import Line, Places, Usage

LISTED = parse("a.test read\n*.b.test:443\nc.test:22,8443/tls,8080/http\n", "list").allowlist


def test_the_lists_of_names_contain_no_ports() -> None:
    assert haproxy.names(LISTED) == {"names": ("a.test", "c.test"), "names_below": (".b.test",)}


def test_every_placeholder_of_the_template_is_replaced() -> None:
    text = haproxy.render(haproxy.TEMPLATE.read_text(), Places(Path("/run/gate")), (7, 8), 955)
    assert re.findall(r"\$\w+", text) == []
    assert "bind fd@7" in text
    assert "map_end(/run/gate/below_http.map)" in text
    assert "uid 955" in text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "another_site tls 198.51.100.1 443 517 0 0 evil.test",
            Line("another_site", "tls", "198.51.100.1", 443, 517, 0, 0, "evil.test"),
        ),
        ("carried http 198.51.100.1 80 +5 +6 +7 - a b", Line("carried", "http", "198.51.100.1", 80, 5, 6, 7, "a b")),
        (
            "request http/PR 198.51.100.1 80 5 6 7 POST:/a a.test",
            Line("request", "http", "198.51.100.1", 80, 5, 6, 7, "a.test", "POST:/a"),
        ),
        ("silent tls 198.51.100.1 443 0 0 3001 -", Line("silent", "tls", "198.51.100.1", 443, 0, 0, 3001, "")),
        (
            "push_scope https 198.51.100.1 443 1 2 3 github.com 0 evil/repo",
            Line("push_scope", "https", "198.51.100.1", 443, 1, 2, 3, "github.com", "evil/repo"),
        ),
        (
            "carried https 198.51.100.1 443 1 2 3 github.com 1 -",
            Line("carried", "https", "198.51.100.1", 443, 1, 2, 3, "github.com", "", cookies=True),
        ),
        (
            "push_scope https 198.51.100.1 443 1 2 3 github.com 0 1 of several words",
            Line("push_scope", "https", "198.51.100.1", 443, 1, 2, 3, "github.com", "1 of several words"),
        ),
        ("[NOTICE] (1) : something", None),
        ("refused tls nowhere 443 0 0 0 x", None),
        ("refused tls 198.51.100.1 x 0 0 0 x", None),
    ],
)
def test_lines_of_its_log(text: str, line: Line | None) -> None:
    assert haproxy.parse_line(text) == line


@given(st.text(max_size=400))
def test_any_line_is_parsed_or_ignored(text: str) -> None:
    line = haproxy.parse_line("refused tls 198.51.100.1 443 1 2 3 " + text)
    assert line is None or len(line.name) <= 300


def test_bytes_in_of_haproxys_table_are_bytes_out() -> None:
    text = (
        "# table: names, type: string, size:4096, used:1\n"
        "0x7f: key=a.test:443 use=1 exp=0 shard=0 conn_cnt=3 conn_cur=1 bytes_in_cnt=100 bytes_out_cnt=2000\n\n"
    )
    assert haproxy.parse_table(text) == {"a.test:443": Usage(3, 1, 2000, 100)}


def test_sessions_are_found_by_their_source_port() -> None:
    text = (
        "0x55d0: proto=tcpv4 src=10.0.0.2:41234 fe=tls be=through srv=itself\n0x55d1: proto=unix_stream src=unix:1 fe=GLOBAL\n"
    )
    assert haproxy.parse_sessions(text) == {41234: "0x55d0"}
