"""Bodies of which only certain members may pass (members.lua)."""

from __future__ import annotations

import json
import os

import pytest

from network.gate import haproxy
from tests import lua
from tests.lua import Lua, LuaError

pytestmark = pytest.mark.skipif(lua.library() is None and os.environ.get("CI") != "true", reason="liblua not found")


@pytest.fixture(scope="module")
def gate() -> Lua:
    return Lua(haproxy.GITHUB)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"title": "t", "labels": [{"name": "agent_assignment"}]}', "fine"),
        ("{}", "fine"),
        ('{"title": "t", "agent_assignment": {}}', "not_granted: agent_assignment may not be set in this request"),
        ('{"agent\\u005fassignment": {}}', "not_granted: agent_assignment may not be set in this request"),
        ('{"title labels": 1}', "not_granted: title?labels may not be set in this request"),
        ('{"title": "a", "title": "b"}', "unclear: the JSON has a duplicate name"),
        ("[]", "unclear: the request is not a JSON object"),
        ("null", "unclear: the request is not a JSON object"),
        ('"title"', "unclear: the request is not a JSON object"),
        ("title=t", "unclear: the JSON cannot be parsed"),
        ("{} {}", "unclear: the JSON cannot be parsed"),
        ("", "unclear: the JSON cannot be parsed"),
    ],
)
def test_only_listed_members_pass(gate: Lua, body: str, why: str) -> None:
    try:
        gate.run(b"Members.judge(..., 'title labels')", body.encode())
    except LuaError as error:
        assert str(error) == why
    else:
        assert why == "fine"


@pytest.mark.parametrize(
    ("ref", "may"),
    [
        ("refs/heads/work", True), ("refs/heads/a/b", True), ("refs/tags/v1", True), ("refs/notes/commits", True),
        ("refs/hidden/x", False), ("refs/pull/1/head", False), ("refs/heads", False), ("refs/heads/", False),
        ("refs/heads/../hidden/x", False), ("refs/heads//x", False), ("refs/heads/.x", False), ("heads/x", False), ("x", False),
        ("refs/heads/a b", False), ("refs/heads/a\x01", False), ("REFS/heads/x", False), ("refs/replace/a", False),
        ("refs/heads/ü", True),
    ],
)  # fmt: skip
def test_a_new_ref_is_a_branch_a_tag_or_notes(gate: Lua, ref: str, may: bool) -> None:
    def judged(body: str) -> str:
        try:
            gate.run(b"Branches.new_ref(...)", body.encode())
        except LuaError as error:
            return str(error)
        return "fine"

    body = {"ref": ref, "sha": "a" * 40}
    assert ("is no branch, tag or note" in judged(json.dumps(body, ensure_ascii=False))) is not may
    assert judged(json.dumps(body | {"force": True})) == "not_granted: force may not be set in this request"
    assert "ref is no branch" in judged('{"ref": ["refs/heads/a"]}')
    assert "ref is no branch" in judged("{}")
