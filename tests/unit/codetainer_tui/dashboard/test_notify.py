"""Events that notify an operator who looks elsewhere, and events that do not."""

from __future__ import annotations

from backend.contract import events as e
from backend.contract.events import Reason, Refused, SessionState, Stamped, Via
from backend.contract.state import State, fold_all
from codetainer_tui.dashboard import notify
from tests.journals import make as stories

READY = fold_all([e.decode(line) for line in stories.text(stories.JOURNALS["ready"]()).splitlines()])


def after(before: State, *said: e.Event) -> State:
    return fold_all([Stamped(before.updated_at + 1, 10_000 + n, event) for n, event in enumerate(said)], before)


def refusal(name: str) -> Refused:
    return Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", name)


def test_only_the_first_refusal_of_a_kind_notifies() -> None:
    once = after(READY, refusal("a.example"))
    assert notify.news(READY, once) == "refused a.example: not on the allowlist"
    assert notify.news(once, after(once, refusal("a.example"))) == ""
    assert notify.news(READY, after(READY, refusal("a.example"), refusal("b.example"))).endswith("and 1 more")


def test_a_waiting_agent_notifies_once() -> None:
    works = after(READY, e.SessionChanged(SessionState.WORKS, "claude"))
    waits = after(works, e.SessionChanged(SessionState.WAITS, "claude", 1000.0))
    assert notify.news(works, waits) == "the agent is waiting for you"
    assert notify.news(waits, after(waits, e.SessionChanged(SessionState.WAITS, "claude", 2000.0))) == ""
    assert notify.news(waits, after(waits, e.SessionChanged(SessionState.WORKS, "claude"))) == ""
    assert notify.news(waits, after(waits, e.SessionChanged(SessionState.ENDED, "claude"))) == "the agent exited"


def test_a_question_before_the_first_turn_is_news_once() -> None:
    asks = after(READY, e.SessionChanged(SessionState.ASKS, "claude", 1000.0, screen=("Allow it?",)))
    assert notify.news(READY, asks) == "Claude is asking something before it begins"
    assert notify.news(asks, after(asks, e.SessionChanged(SessionState.ASKS, "claude", 1000.0, screen=("Else?",)))) == ""


def test_a_refused_credential_is_news_once_and_a_limit_is_not() -> None:
    refused = after(READY, *stories.CANNOT_GO_ON["refused"])
    assert notify.news(READY, refused) == "the API refuses CLAUDE_CODE_OAUTH_TOKEN"
    assert notify.news(refused, after(refused, e.SessionChanged(SessionState.WAITS, "claude"))) == ""
    assert notify.news(READY, after(READY, *stories.CANNOT_GO_ON["limited"])) == ""


def test_a_closing_sandbox_notifies() -> None:
    assert notify.news(READY, after(READY, e.Stopping("SIGTERM"))) == "CLOSED stopped: SIGTERM"
    failed = after(READY, e.ProtectionFailed("root is writable"))
    assert "protection failed at" in notify.news(READY, failed)
    assert "root is writable; everything is closed" in notify.news(READY, failed)


def test_a_name_cannot_end_the_escape_sequence() -> None:
    text = notify.news(READY, after(READY, refusal("a\x1b\\b\x07.example")))
    sent = notify.sequence(text)
    assert sent.count("\x1b") == 2
    assert sent.count("\x07") == 1
