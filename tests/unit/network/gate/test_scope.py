"""The rules for a host's credential, as text; tests/netns/test_scope.py tests their effect."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.settings import credentials_file
from network.gate.credentials import Host
from network.gate.scope import ENCODED_SLASH, FORWARD, NUL, UNPLAIN, scope

HOSTS = {host.name: host for host in credentials_file.shipped()}
UNPLAIN_PATH = re.compile(UNPLAIN.strip("'").replace("[:cntrl:]", r"\x00-\x1f\x7f"))


def rules(host: Host, *repositories: str) -> list[str]:
    return list(scope(host, repositories, "/asks.sock"))


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_every_rule_uses_the_normalised_path(host: Host) -> None:
    conditions = {path for rule in rules(host, "octo/repo") for path in re.findall(r"\{ path [^}]*\}", rule)}
    assert conditions == {f"{{ path -m sub -i {ENCODED_SLASH} }}", f"{{ path -m sub {NUL} }}"}


def test_without_a_repository_no_write_in_one_passes() -> None:
    without = rules(HOSTS["api.github.com"])
    fits = [rule for rule in without if "set-var(txn.fits) bool(true)" in rule]
    assert fits == ["http-request set-var(txn.fits) bool(true) if { method POST } { var(txn.path) -m reg -i '^/graphql$' }"]
    assert any("Writes go to no repository only" in rule for rule in without)
    assert not any("branch {" in rule for rule in without)


def test_every_spelling_of_a_header_is_refused() -> None:
    (rule, *_) = [rule for rule in rules(HOSTS["api.anthropic.com"]) if "req.hdrs" in rule]
    pattern = re.compile(rule.partition("-m reg -i '")[2].removesuffix("' }"), re.IGNORECASE)
    matches = {
        name: bool(pattern.search(f"host: api.anthropic.com\r\n{name}: oauth, MCP-client-2025\r\nx: y\r\n"))
        for name in ("anthropic-beta", "Anthropic_Beta", "anthropic_BETA", "x-anthropic-beta", "anthropicbeta")
    }
    assert matches == {"anthropic-beta": True, "Anthropic_Beta": True, "anthropic_BETA": True} | dict.fromkeys(
        ("x-anthropic-beta", "anthropicbeta"), False
    )
    assert not pattern.search("anthropic-beta: oauth\r\nx: mcp-client\r\n")


@given(st.text(alphabet="ab/.%\\;?#\n\x00 ü-_~", max_size=12))
def test_a_plain_path_has_only_one_reading(text: str) -> None:
    """It stays the same when decoded again, when dots and double slashes are resolved, and when cut at a delimiter."""
    path = f"/{text}"
    if not UNPLAIN_PATH.search(path):
        assert not {"%", "\\", ";", "?", "#", "\n", "\0"} & set(path)
        assert "//" not in path
        assert not {".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    ("body", "forward"),
    [
        ('{"sha": "abc123"}', True),
        (' { "sha": "abc123" ,\n "force" : false } ', True),
        ('{"force":false,"sha":"abc123"}', True),
        ('{"force":false}', False),
        ('{"sha":"abc123","force":true}', False),
        ('{"sha":"abc123","a":1}', False),
        ('{"sha":"abc123"} {}', False),
        ('{"sha":"\\u0061"}', False),
        ("[]", False),
    ],
)
def test_bodies_that_may_move_a_branch(body: str, forward: bool) -> None:
    assert bool(re.search(FORWARD, body)) is forward
