"""Real Claude Code 2.1.197 at a usage limit: it asks what to do, and the conversation goes on all the same, if it may."""

from __future__ import annotations

import os
import time

import pytest

from backend.sandbox.pretend.api import SENTENCE
from backend.session.resumption import JITTER, MESSAGE
from tests.netns.sandbox import eventually, start
from tests.netns.test_claude import OTHER, claude
from tests.netns.test_watchdog import LIMITED, LONG, measured, passed, resumed, said

pytestmark = pytest.mark.netns

QUESTION = "Stop and wait for limit to reset"


def test_the_conversation_goes_on_after_a_limit_though_claude_asks_what_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    running = start(
        tmp_path_factory.mktemp("limit"), f"limit-{os.getpid()}", "--claude", claude(OTHER),
        CLAUDE_PROMPT="please fail: limited 12",
    )  # fmt: skip
    try:
        found = eventually("it is told", lambda: measured(running, 0, LIMITED), LONG)
        assert found.until
        eventually("Claude is told to continue", lambda: resumed(running, 0), LONG)
        eventually("the API sees it", lambda: said(running, MESSAGE))
        eventually("Claude answers", lambda: SENTENCE[:20] in running.screen())
        eventually("the turn ends", lambda: passed(running, 0))
    finally:
        running.stop()


def test_nothing_is_typed_if_the_operator_does_not_want_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    running = start(
        tmp_path_factory.mktemp("off"), f"off-{os.getpid()}", "--claude", claude(OTHER), CODETAINER_RESUME="off",
        CLAUDE_PROMPT="please fail: limited 5",
    )  # fmt: skip
    try:
        found = eventually("it is told", lambda: measured(running, 0, LIMITED), LONG)
        eventually("Claude asks", lambda: QUESTION in running.screen())
        eventually("Claude would have been told", lambda: time.time() > found.until + JITTER[1] + 5)
        assert QUESTION in running.screen()
        assert not resumed(running, 0)
        assert not said(running, MESSAGE)
        assert running.state.session_state is LIMITED
    finally:
        running.stop()
