"""The managed settings of Claude Code, derived from the operator's template."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.boot.steps.claude import MAX_STATE, continued, known, managed
from backend.sandbox.layout import SHIPPED_SETTINGS


def test_what_must_hold_is_managed() -> None:
    template = json.loads(SHIPPED_SETTINGS.read_text())
    settings = managed(template)
    for key in ("env", "hooks", "statusLine", "skipDangerousModePermissionPrompt"):
        assert settings[key] == template[key]
    assert settings["permissions"] == {"defaultMode": "bypassPermissions", "disableAutoMode": "disable"}
    assert settings["disableAutoMode"] == "disable"


def test_preferences_stay_with_the_agent() -> None:
    assert managed({"model": "opus", "enabledPlugins": {"a@b": True}}).keys() == {"permissions", "disableAutoMode"}


@pytest.mark.parametrize("permissions", [None, "all", [], {}, {"defaultMode": 5}])
def test_permissions_of_any_shape_still_forbid_auto_mode(permissions: Any) -> None:
    assert managed({"permissions": permissions})["permissions"] == {"disableAutoMode": "disable"}


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("", {"a": 1, "projects": {"/w": {"trusted": True}}}),
        ('{"a": 2, "b": 3, "projects": 4}', {"a": 1, "b": 3, "projects": {"/w": {"trusted": True}}}),
        (
            '{"projects": {"/w": {"trusted": false, "cost": 5}, "/x": 6}}',
            {"a": 1, "projects": {"/w": {"trusted": True, "cost": 5}, "/x": 6}},
        ),
        ('{"projects": {"/w": 7}}', {"a": 1, "projects": {"/w": {"trusted": True}}}),
    ],
    ids=["empty", "without projects", "with projects", "a project that is not an object"],
)
def test_boots_keys_count_in_the_state_of_a_suspended_sandbox(before: str, expected: dict[str, object]) -> None:
    theirs = known(before)
    assert theirs is not None
    assert continued(theirs, {"a": 1, "projects": {"/w": {"trusted": True}}}) == expected


@pytest.mark.parametrize("before", ["[]", "[" * 100_000, "{", f'{{"a": "{"x" * MAX_STATE}"}}'], ids=lambda text: text[:5])
def test_a_state_that_cannot_be_continued_is_told_from_none(before: str) -> None:
    assert known(before) is None
