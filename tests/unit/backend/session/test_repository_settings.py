"""The repository's settings that stand in the way of unattended work are found, and left out on request."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract.paths import Paths
from backend.session import repository_settings
from backend.session.repository_settings import FILES, hindrances, without
from backend.system import Identity

SHARED, LOCAL = FILES
HINDERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"permissions": {"disableBypassPermissionsMode": "disable"}}, ["permissions.disableBypassPermissionsMode"]),
    ({"permissions": {"ask": ["Bash"]}}, ['permissions.ask ["Bash"]']),
    ({"env": {"ANTHROPIC_BASE_URL": "https://a.example", "DEBUG": "1"}}, ["env.ANTHROPIC_BASE_URL"]),
    ({"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}}, ["env.CLAUDE_CODE_USE_BEDROCK"]),
    ({"apiKeyHelper": "echo key"}, ["apiKeyHelper"]),
    ({"sandbox": {"enabled": True, "failIfUnavailable": True}}, ["sandbox.failIfUnavailable"]),
    ({"sandbox": {"enabled": False, "failIfUnavailable": True}}, []),
    ({"permissions": {"defaultMode": "plan", "deny": ["WebFetch"]}, "disableAllHooks": True, "env": {"DEBUG": "1"}}, []),
]


@pytest.mark.parametrize(("body", "expected"), HINDERS)
def test_settings_that_stand_in_the_way(body: dict[str, Any], expected: list[str]) -> None:
    assert [one.setting for one in hindrances({SHARED: body})] == expected
    assert hindrances({SHARED: without({SHARED: body})}) == ()


def test_other_settings_are_kept_and_merged() -> None:
    one = {
        "model": "opus",
        "env": {"A": "1", "B": "1"},
        "permissions": {"deny": ["Read(x)"], "ask": ["Bash"]},
        "apiKeyHelper": "x",
    }
    other = {
        "model": "haiku",
        "env": {"B": "2", "HTTPS_PROXY": "http://a.example"},
        "permissions": {"deny": ["Read(x)", "Edit"]},
    }
    assert without({SHARED: one, LOCAL: other}) == {
        "model": "haiku",
        "env": {"A": "1", "B": "2"},
        "permissions": {"deny": ["Read(x)", "Edit"]},
    }


def test_a_value_that_may_be_secret_is_not_shown() -> None:
    found = hindrances({SHARED: {"env": {"ANTHROPIC_API_KEY": "sk-secret"}, "apiKeyHelper": "echo sk-secret"}})
    assert len(found) == 2
    assert "sk-secret" not in str(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(("permissions", "env", "ask", "sandbox", "enabled", "apiKeyHelper")), inner)
    ),
)


@given(st.dictionaries(st.sampled_from(("permissions", "env", "sandbox", "apiKeyHelper", "hooks")), JSON))
def test_settings_of_any_shape(body: dict[str, Any]) -> None:
    hindrances({SHARED: body})
    assert hindrances({SHARED: without({SHARED: body, LOCAL: body})}) == ()


def test_files_are_read_and_malformed_ones_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository_settings, "AGENT", Identity("me", os.geteuid()))
    paths = Paths(tmp_path)
    (paths.repository / ".claude").mkdir(parents=True)
    assert repository_settings.read(paths) == {}
    large = {"permissions": {"ask": ["x" * 100_000]}}
    (paths.repository / SHARED).write_text(json.dumps(large))
    (paths.repository / LOCAL).write_text("{")
    assert repository_settings.read(paths) == {SHARED: large}


def test_deeply_nested_settings_are_left_out() -> None:
    deep = {"permissions": {"ask": json.loads("[" * 900 + "]" * 900)}}
    assert repository_settings._is_shallow({"a": [{"b": 1}]})
    assert not repository_settings._is_shallow(deep)


def test_lists_are_joined_without_repetition() -> None:
    merged = without({SHARED: {"x": [0, [1]]}, LOCAL: {"x": [[1], 0, {"a": 1}]}})
    assert merged["x"] == [0, [1], {"a": 1}]
