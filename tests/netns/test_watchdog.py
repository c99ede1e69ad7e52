"""Real Claude Code against an API that limits, is overloaded, refuses the token, breaks off and is silent.

The state is measured, shown on the dashboard and sent to a webhook, and the conversation goes on by itself. The cases share a
sandbox, because each boot takes seconds. Only the first message of a kind is sent at once: the first two tests see one, and the
last test sees the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from backend.contract.events import SessionMeasured, SessionResumed, SessionState
from backend.session.prompt import Shown
from backend.session.resumption import MESSAGE
from tests.netns.notified import WEBHOOK, Service, begin
from tests.netns.sandbox import PATIENCE, Running, eventually
from tests.netns.states import dashboard, notified
from tests.netns.test_claude import PINNED, claude

pytestmark = pytest.mark.netns

LIMITED, OVERLOADED, REFUSED, STUCK = (
    SessionState.LIMITED, SessionState.OVERLOADED, SessionState.REFUSED, SessionState.STUCK,
)  # fmt: skip
HALF = "half a sentence of the operator"
LONG = 4 * PATIENCE  # Claude Code repeats calls after up to 40 s, and continues 90 s after a limit


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # A long grace period, because the last notification takes a while on a busy machine.
    service = begin(
        tmp_path_factory.mktemp("watchdog"), "watchdog", "--claude", claude(PINNED), CODETAINER_STUCK="12s",
        CODETAINER_NOTIFY=WEBHOOK, CODETAINER_GRACE="60s",
    )  # fmt: skip
    eventually("Claude Code's prompt", lambda: "❯" in service.sandbox.screen())
    yield service
    if service.sandbox.process.poll() is None:
        service.sandbox.stop()
    service.end()


@pytest.fixture
def sandbox(service: Service) -> Running:
    return service.sandbox


def ask(sandbox: Running, text: str) -> int:
    """Types a prompt. Returns the number of the last event before it."""
    before = int(sandbox.stamped()[-1].seq)
    eventually("Claude waits for a prompt", lambda: "❯\N{NO-BREAK SPACE}" in sandbox.screen())
    sandbox.pane.send_keys(text, enter=False, literal=True)
    eventually("the prompt is typed", lambda: text[-20:] in sandbox.screen())
    sandbox.pane.send_keys("Enter", enter=False)
    return before


def measured(sandbox: Running, since: int, *states: SessionState) -> SessionMeasured | None:
    """The first event after number `since` that reports one of the states."""
    for stamped in sandbox.stamped():
        if stamped.seq > since and isinstance(stamped.event, SessionMeasured) and stamped.event.state in states:
            return stamped.event
    return None


def resumed(sandbox: Running, since: int) -> list[SessionResumed]:
    return [one.event for one in sandbox.stamped() if one.seq > since and isinstance(one.event, SessionResumed)]


def passed(sandbox: Running, since: int) -> bool:
    """True if the session waits after it has told a trouble."""
    trouble = False
    for stamped in sandbox.stamped():
        if stamped.seq > since and isinstance(stamped.event, SessionMeasured):
            if stamped.event.state is SessionState.WAITS and trouble:
                return True
            trouble = trouble or stamped.event.state in (LIMITED, OVERLOADED, REFUSED, STUCK)
    return False


def said(sandbox: Running, text: str) -> bool:
    """True if a call with this text from the user has reached the API."""
    return any(text in str(json.loads(line).get("said")) for line in sandbox.seen.read_text().splitlines())


def test_silence_is_told_as_stuck(service: Service, sandbox: Running) -> None:
    since = ask(sandbox, "please fail: silent 30")
    found = eventually("it is told", lambda: measured(sandbox, since, STUCK), LONG)
    assert found.reason == "silent"
    assert "stuck" in sandbox.codetainer("status").stdout
    assert "the agent seems to be stuck since" in dashboard(sandbox, service.folder)
    notified(service, "the agent is stuck", seconds=LONG)
    eventually("it is over", lambda: passed(sandbox, since), LONG)


def test_an_overloaded_api_is_told_until_a_call_passes(service: Service, sandbox: Running) -> None:
    """A message is sent after a minute, while Claude still repeats the call after growing pauses."""
    since = ask(sandbox, "please fail: overloaded 8")
    found = eventually("it is told", lambda: measured(sandbox, since, OVERLOADED), LONG)
    assert (found.reason, found.detail) == ("529", "the API is overloaded (529)")
    assert "overloaded" in sandbox.codetainer("status").stdout
    assert "the API is overloaded since" in dashboard(sandbox, service.folder)
    notified(service, "calls of the model fail (529)", seconds=LONG)
    eventually("Claude repeats the call, and it passes", lambda: passed(sandbox, since), LONG)


def test_answers_that_break_off_are_told_until_one_is_whole(sandbox: Running) -> None:
    since = ask(sandbox, "please fail: cut 5")
    found = eventually("it is told", lambda: measured(sandbox, since, OVERLOADED), LONG)
    assert found.reason == "cut"
    eventually("Claude repeats the call, and it passes", lambda: passed(sandbox, since), LONG)


def test_a_refused_token_is_named_and_claude_continues_when_it_is_good_again(service: Service, sandbox: Running) -> None:
    since = ask(sandbox, "please fail: refused 20")
    found = eventually("it is told", lambda: measured(sandbox, since, REFUSED), LONG)
    assert (found.reason, found.credential) == ("401", "CLAUDE_CODE_OAUTH_TOKEN")
    assert "CLAUDE_CODE_OAUTH_TOKEN" in sandbox.codetainer("status").stdout
    assert "the API refuses CLAUDE_CODE_OAUTH_TOKEN since" in dashboard(sandbox, service.folder)
    eventually("Claude waits", lambda: "esc to interrupt" not in sandbox.screen())
    sandbox.pane.send_keys(HALF, enter=False, literal=True)
    eventually("it is typed", lambda: HALF in sandbox.screen())
    first = eventually("nothing is typed beside it", lambda: resumed(sandbox, since), LONG)
    assert [each.problem for each in first] == [Shown.TYPED]
    assert HALF in sandbox.screen()
    assert not said(sandbox, HALF)
    sandbox.pane.send_keys("C-u", enter=False)
    eventually("it is deleted", lambda: HALF not in sandbox.screen())
    eventually("Claude is told to continue", lambda: len(resumed(sandbox, since)) == 2, LONG)
    eventually("the API sees it", lambda: said(sandbox, MESSAGE))
    eventually("it passes", lambda: passed(sandbox, since))
    assert resumed(sandbox, since)[-1].problem == ""


def test_a_limit_is_told_with_its_end_and_claude_continues(service: Service, sandbox: Running) -> None:
    """This version continues by itself some time after the end of the limit, and is left to do so."""
    since = ask(sandbox, "please fail: limited 10")
    begun = time.time()
    found = eventually("it is told", lambda: measured(sandbox, since, LIMITED), LONG)
    assert found.reason == "429"
    assert "the five-hour limit" in found.detail
    assert found.until <= begun + PATIENCE
    assert "at a usage limit until" in sandbox.codetainer("status").stdout
    assert "at a usage limit until" in dashboard(sandbox, service.folder)
    calls = sandbox.asked(kind="http", path="/v1/messages")
    eventually("it calls again", lambda: sandbox.asked(kind="http", path="/v1/messages") > calls, LONG)
    eventually("the turn ends", lambda: passed(sandbox, since), LONG)


def test_all_of_it_was_notified(service: Service) -> None:
    """What waited for its time is sent when the sandbox stops. The latest report of a short limit may have no end."""
    assert "the agent is waiting for you since" in dashboard(service.sandbox, service.folder)
    service.sandbox.stop()
    for words in (
        "the API refuses the credential CLAUDE_CODE_OAUTH_TOKEN", "the agent is at a usage limit", "the agent waits for you",
        "the sandbox stops",
    ):  # fmt: skip
        notified(service, words, seconds=PATIENCE)
