"""Bodies of which only certain members may pass (members.lua)."""

from __future__ import annotations

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
