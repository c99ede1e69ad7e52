"""Settings with which a learning run is an error."""

from __future__ import annotations

import pytest

from backend import settings
from backend.settings import SettingsError

GOOD = {"GH_PAT": "ghp_x", "CLAUDE_CODE_OAUTH_TOKEN": "sk-x"}
LEARNING = {**GOOD, "CODETAINER_LEARN": "on"}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"CLAUDE_PROMPT": "do it"}, "set CODETAINER_LEARN=force"),
        ({"CODETAINER_GATE": "off"}, "needs the gate"),
        ({"CODETAINER_LEARN": "force", "CODETAINER_GATE": "off"}, "needs the gate"),
        ({"CODETAINER_CREDENTIALS": "inside"}, "the agent would have the credentials"),
        ({"CODETAINER_LEARN": "force", "CODETAINER_CREDENTIALS": "inside"}, "the agent would have the credentials"),
    ],
)
def test_a_learning_run_that_would_let_out_too_much_is_an_error(more: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.load({**LEARNING, **more})
    (only,) = raised.value.problems
    assert problem in only


@pytest.mark.parametrize(
    ("more", "learns"),
    [({}, True), ({"CODETAINER_LEARN": "force", "CLAUDE_PROMPT": "do it"}, True), ({"CODETAINER_LEARN": "off"}, False)],
)
def test_a_learning_run_with_and_without_a_task(more: dict[str, str], learns: bool) -> None:
    assert settings.load({**LEARNING, **more}).learns is learns
