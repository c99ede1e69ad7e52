"""The rules of what may be done at a host, as text; what they do is tried in tests/netns/test_scope.py."""

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
def test_every_rule_reads_the_one_form_of_a_path(host: Host) -> None:
    conditions = {found for rule in rules(host, "octo/repo") for found in re.findall(r"\{ path [^}]*\}", rule)}
    assert conditions == {f"{{ path -m sub -i {ENCODED_SLASH} }}", f"{{ path -m sub {NUL} }}"}


def test_without_a_repository_nothing_is_inside_and_no_branch_is_moved() -> None:
    found = rules(HOSTS["api.github.com"])
    fits = [rule for rule in found if "set-var(txn.fits) bool(true)" in rule]
    assert fits == ["http-request set-var(txn.fits) bool(true) if { method POST } { var(txn.path) -m reg -i '^/graphql$' }"]
    assert any("writes go to no repository only" in rule for rule in found)
    assert not any("branch {" in rule for rule in found)


def test_a_header_is_looked_for_in_every_spelling() -> None:
    (rule, _) = [rule for rule in rules(HOSTS["api.anthropic.com"]) if "req.hdrs" in rule]
    pattern = re.compile(rule.partition("-m reg -i '")[2].removesuffix("' }"), re.IGNORECASE)
    found = {
        name: bool(pattern.search(f"host: api.anthropic.com\r\n{name}: oauth, MCP-client-2025\r\nx: y\r\n"))
        for name in ("anthropic-beta", "Anthropic_Beta", "anthropic_BETA", "x-anthropic-beta", "anthropicbeta")
    }
    assert found == {"anthropic-beta": True, "Anthropic_Beta": True, "anthropic_BETA": True} | dict.fromkeys(
        ("x-anthropic-beta", "anthropicbeta"), False
    )
    assert not pattern.search("anthropic-beta: oauth\r\nx: mcp-client\r\n")


@given(st.text(alphabet="ab/.%\\;?#\n\x00 ü-_~", max_size=12))
def test_what_is_plain_has_one_reading(text: str) -> None:
    """Neither decoded once more, nor with its dots and doubled slashes resolved, nor cut at a mark, is it another path."""
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
def test_a_move_of_a_branch_says_its_sha_and_at_most_that_it_is_not_forced(body: str, forward: bool) -> None:
    assert bool(re.search(FORWARD, body)) is forward
