"""What is news to somebody who is not looking, and what is not."""

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


def test_the_first_refusal_of_something_is_news_and_the_next_is_not() -> None:
    once = after(READY, refusal("a.example"))
    assert notify.news(READY, once) == "refused a.example: not on the list"
    assert notify.news(once, after(once, refusal("a.example"))) == ""
    assert notify.news(READY, after(READY, refusal("a.example"), refusal("b.example"))).endswith("and 1 more")


def test_an_agent_that_begins_to_wait_is_news_once() -> None:
    works = after(READY, e.SessionChanged(SessionState.WORKS, "claude"))
    waits = after(works, e.SessionChanged(SessionState.WAITS, "claude", 1000.0))
    assert notify.news(works, waits) == "the agent waits for you"
    assert notify.news(waits, after(waits, e.SessionChanged(SessionState.WAITS, "claude", 2000.0))) == ""
    assert notify.news(waits, after(waits, e.SessionChanged(SessionState.WORKS, "claude"))) == ""
    assert notify.news(waits, after(waits, e.SessionChanged(SessionState.ENDED, "claude"))) == "the agent has ended"


def test_a_sandbox_that_closes_is_news() -> None:
    assert notify.news(READY, after(READY, e.Stopping("SIGTERM"))) == "closed because it was stopped: SIGTERM"


def test_a_name_of_the_agents_cannot_end_the_sequence() -> None:
    text = notify.news(READY, after(READY, refusal("a\x1b\\b\x07.example")))
    sent = notify.sequence(text)
    assert sent.count("\x1b") == 2
    assert sent.count("\x07") == 1
