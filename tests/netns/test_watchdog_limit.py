"""Real Claude Code 2.1.197 at a usage limit: it asks what to do, and the conversation goes on all the same, if it may."""

from __future__ import annotations

import os
import time

import pytest

from backend.sandbox.pretend.api import SENTENCE
from backend.session.resumption import JITTER, MESSAGE
from tests.netns.notified import WEBHOOK, begin
from tests.netns.sandbox import eventually, start
from tests.netns.states import dashboard, notified
from tests.netns.test_claude import OTHER, claude
from tests.netns.test_watchdog import LIMITED, LONG, measured, passed, resumed, said

pytestmark = pytest.mark.netns

QUESTION = "Stop and wait for limit to reset"


def test_the_conversation_goes_on_after_a_limit_though_claude_asks_what_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    service = begin(
        tmp_path_factory.mktemp("limit"), "limit", "--claude", claude(OTHER), CLAUDE_PROMPT="please fail: limited 12",
        CODETAINER_NOTIFY=WEBHOOK, CODETAINER_NOTIFY_TEXT="on",
    )  # fmt: skip
    running = service.sandbox
    try:
        found = eventually("it is told", lambda: measured(running, 0, LIMITED), LONG)
        assert found.until
        until = time.strftime("%H:%M", time.gmtime(found.until))
        assert f"at a usage limit until {until} (" in dashboard(running, service.folder)
        notified(service, f"the agent is at a usage limit until {until} UTC", seconds=LONG)
        eventually("Claude is told to continue", lambda: resumed(running, 0), LONG)
        eventually("the API sees it", lambda: said(running, MESSAGE))
        eventually("Claude answers", lambda: SENTENCE[:20] in running.screen())
        eventually("the turn ends", lambda: passed(running, 0))
        assert SENTENCE[:20] in notified(service, "the agent waits for you", seconds=LONG)
        running.pane.send_keys("/exit", enter=False, literal=True)
        eventually("it is typed", lambda: "/exit" in running.screen())
        running.pane.send_keys("Enter", enter=False)
        notified(service, "the agent ended", seconds=LONG)
        assert "the agent exited at" in dashboard(running, service.folder)
    finally:
        running.stop()
        service.end()


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
