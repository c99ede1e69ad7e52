"""Queries to the upstream: over TLS, over TCP if an answer is too long, and to the next one if the first does not answer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.netns.sandbox import start
from tests.netns.test_cases import connect, query

pytestmark = pytest.mark.netns

LISTED = "github.com\nlong.test\n"
MANY = ", ".join(f'"198.51.100.{number}"' for number in range(1, 121))
INTERNET = f"""
resolver = "203.0.113.53"
git = {{ host = "github.com", repository = "example/demo" }}
name = [
  {{ name = "github.com", addresses = ["198.51.100.10"] }},
  {{ name = "long.test", addresses = [{MANY}] }},
]
"""


@pytest.mark.parametrize(
    "upstream",
    ["203.0.113.53", "tls://203.0.113.53#dns.example", "203.0.113.99, 203.0.113.53", "tls://203.0.113.99, 203.0.113.53"],
)
def test_names_are_resolved(tmp_path: Path, upstream: str) -> None:
    sandbox = start(tmp_path, f"dns-{os.getpid()}", internet=INTERNET, listed=LISTED, CODETAINER_UPSTREAM=upstream)
    try:
        assert sandbox.state.boot == "ready", sandbox.state.reason
        assert connect(sandbox, "github.com") == "open"
        # 120 addresses do not fit into a datagram; 64 of them are opened and returned.
        assert query(sandbox, "127.0.0.53", "long.test", over="tcp")["answers"] == 64
    finally:
        sandbox.stop()


def test_an_upstream_with_another_hosts_certificate_is_refused(tmp_path: Path) -> None:
    sandbox = start(tmp_path, f"dns-{os.getpid()}", internet=INTERNET, listed=LISTED, CODETAINER_UPSTREAM="tls://203.0.113.53")
    try:
        assert sandbox.state.boot == "degraded"
        assert query(sandbox, "127.0.0.53", "github.com")["rcode"] == 2
        assert sandbox.asked(kind="dns", name="github.com") == 0
    finally:
        sandbox.stop()
