"""Events and their messages: what is worth a message, in our own words, and in the agent's only if the operator wants that."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract import events as e
from backend.contract.events import BootState, BudgetLevel, Occasion, Reason, SessionState, Via
from backend.contract.state import State, fold_all
from backend.notify import lines, messages
from backend.notify.folding import KIND_SECONDS, Folding
from backend.notify.messages import Context, Kind, Message, News, TakeBack, Urgency
from codetainer_tui.view.walls import WALLS
from tests.unit.contract.test_events import ANY_EVENT

AGENTS = "agents-own-words"
AT = 1000.0


def news(*before: e.Event, event: e.Event, with_text: bool = False) -> News:
    """The message for an event after others."""
    state = fold_all([e.Stamped(1.0, number, each) for number, each in enumerate(before)])
    after = fold_all([e.Stamped(AT, 99, event)], state)
    return messages.news(event, Context(state, after, AT, with_text))


def text(found: object) -> str:
    assert isinstance(found, Message)
    return " ".join((found.text, *found.details))


def state(name: str, *, before: str = "none", **values: Any) -> e.SessionMeasured:
    return e.SessionMeasured(SessionState(name), before=SessionState(before), **values)


WORKS, WAITS = e.SessionChanged(SessionState.WORKS), e.SessionChanged(SessionState.WAITS)
PUSH = e.Refused(Via.GATE, Reason.PUSH_SCOPE, 2, name="github.com", port=443, detail=AGENTS)
METADATA = e.Refused(Via.FIREWALL, Reason.PRIVATE, 3, address="169.254.169.254", port=80)
FOREIGN = e.Refused(Via.GATE, Reason.ANOTHER_SITE, name=f"{AGENTS}.example", port=443)
LISTED = e.ListRead(("github.com",))
USED_UP = e.BudgetChanged(BudgetLevel.USED_UP, "cost=20")
WARNED = e.BudgetChanged(BudgetLevel.WARNED, "cost=20")
SAVED, FAILED = e.WorkSaved(f"wip/{AGENTS}", "0123456789abcdef" * 3), e.WorkSaved(f"wip/{AGENTS}", problem=f"rejected {AGENTS}")
OTHER = e.RepositoryWork(f"/workspace/{AGENTS}", commits=3, files=1, untracked=1)
ENDED = e.SessionChanged(SessionState.ENDED, detail="the session has ended")

CASES: list[tuple[tuple[e.Event, ...], e.Event, Kind, Urgency, str]] = [
    ((), e.BootFinished(BootState.READY, 3.0), Kind.STARTED, Urgency.LOW, "has started"),
    ((), e.BootFinished(BootState.DEGRADED, 3.0, "clone", AGENTS, AGENTS), Kind.STARTED, Urgency.NORMAL,
     "has started with a warning: at clone Run codetainer status to see why."),
    ((), e.BootFinished(BootState.HALTED, 3.0, "restore", AGENTS, AGENTS), Kind.CLOSED, Urgency.URGENT,
     "boot halted: at restore. The agent is not started, and everything is closed Run codetainer status to see why."),
    ((), e.ProtectionFailed(AGENTS, "Retry.", {"sshd": AGENTS, AGENTS: AGENTS}), Kind.CLOSED, Urgency.URGENT,
     "a protection failed: sshd. Everything is closed, and the agent was stopped Retry."),
    ((WORKS,), WAITS, Kind.NEEDS_YOU, Urgency.HIGH, "the agent waits for you"),
    ((), e.SessionChanged(SessionState.ASKS, screen=(AGENTS,)), Kind.NEEDS_YOU, Urgency.HIGH,
     "Claude asks something before it begins"),
    ((WORKS,), ENDED, Kind.ENDED, Urgency.HIGH, "the agent ended: the session has ended"),
    ((), state("limited", until=1795910400.0, reason="429"), Kind.LIMIT, Urgency.NORMAL,
     "the agent is at a usage limit until 00:00 UTC"),
    ((), state("limited"), Kind.LIMIT, Urgency.NORMAL, "the agent is at a usage limit"),
    ((), state("overloaded", reason="529"), Kind.LIMIT, Urgency.NORMAL, "calls of the model fail (529)"),
    ((), state("refused", credential="GH_PAT"), Kind.LIMIT, Urgency.HIGH, "the API refuses the credential GH_PAT"),
    ((state("limited"),), state("works", before="limited"), Kind.LIMIT, Urgency.NORMAL,
     "the agent works again: calls of the model pass"),
    ((state("refused"),), state("works", before="refused"), Kind.LIMIT, Urgency.HIGH,
     "the agent works again: calls of the model pass"),
    ((), state("waits"), Kind.NEEDS_YOU, Urgency.HIGH, "the agent waits for you"),
    ((state("limited"),), state("waits", before="limited"), Kind.NEEDS_YOU, Urgency.HIGH,
     "the agent waits for you: the usage limit is over"),
    ((state("refused"),), state("waits", before="refused"), Kind.NEEDS_YOU, Urgency.HIGH,
     "the agent waits for you: the API accepts the credential again"),
    ((), state("stuck"), Kind.NEEDS_YOU, Urgency.HIGH,
     "the agent is stuck: no output, no call and no child at work for a long time"),
    ((), state("ended", detail="Claude has ended"), Kind.ENDED, Urgency.HIGH, "the agent ended: Claude has ended"),
    ((), e.SessionResumed(3, 5.0), Kind.LIMIT, Urgency.HIGH,
     "the conversation does not go on: told Claude 3 times to continue, and no call has passed"),
    ((), e.SessionResumed(1, problem=AGENTS), Kind.LIMIT, Urgency.HIGH, "the conversation could not be continued"),
    ((), e.WorkSaved(f"wip/{AGENTS}", AGENTS), Kind.WORK, Urgency.NORMAL, "work is saved"),
    ((LISTED,), PUSH, Kind.REFUSED, Urgency.HIGH, f"serious refusal: github.com: {Reason.PUSH_SCOPE}"),
    ((), e.Froze(True, "alex"), Kind.FROZEN, Urgency.NORMAL,
     "frozen by alex: the agent is stopped, and every address is closed Run codetainer thaw to continue."),
    ((e.Froze(True, "alex"),), e.Froze(False, "kim"), Kind.FROZEN, Urgency.NORMAL,
     "thawed by kim: the agent continues; it was frozen since 00:00 UTC by alex"),
    ((), METADATA, Kind.REFUSED, Urgency.HIGH, f"serious refusal: 169.254.169.254:80: {Reason.PRIVATE}"),
    ((), FOREIGN, Kind.REFUSED, Urgency.HIGH, f"serious refusal: {Reason.ANOTHER_SITE}"),
    ((), WARNED, Kind.BUDGET, Urgency.NORMAL, "the model's budget is nearly used up: cost=20"),
    ((WARNED,), USED_UP, Kind.BUDGET, Urgency.HIGH,
     "the model's budget is used up: cost=20. Calls are refused Run codetainer budget +20 to add to it."),
    ((USED_UP,), e.BudgetChanged(BudgetLevel.FINE), Kind.BUDGET, Urgency.NORMAL, "the model has budget again"),
    ((), e.Stopping("SIGTERM"), Kind.ENDED, Urgency.HIGH, "the sandbox stops: SIGTERM"),
    ((), SAVED, Kind.WORK, Urgency.NORMAL, "work is saved as 0123456789ab"),
    ((FAILED,), dataclasses.replace(SAVED, left_out=("a", "b")), Kind.WORK, Urgency.NORMAL,
     "work is saved as 0123456789ab, without 2 files"),
    ((SAVED, e.Stopping("SIGTERM")), SAVED, Kind.WORK, Urgency.NORMAL, "work is saved as 0123456789ab"),
    ((SAVED,), FAILED, Kind.WORK, Urgency.HIGH, "work could not be saved Run codetainer save to see the reason."),
    ((), e.SaveSkipped(covered=True), Kind.WORK, Urgency.HIGH, "the sandbox stops without saving unsaved work"),
    ((), e.SaveSkipped(by_operator=True), Kind.WORK, Urgency.NORMAL,
     "the sandbox stops without saving unsaved work, as the operator chose"),
    ((), e.WorkCounted((OTHER,), Occasion.STOPPING), Kind.WORK, Urgency.HIGH,
     "work in 1 repository is never saved: 3 commits and 2 files"),
    ((), e.WorkCounted((), Occasion.STOPPING, AGENTS), Kind.WORK, Urgency.HIGH,
     "unsaved work could not be counted, so some may be lost"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "event", "kind", "urgency", "words"), CASES)
def test_the_message_of_each_event(
    before: tuple[e.Event, ...], event: e.Event, kind: Kind, urgency: Urgency, words: str
) -> None:
    found = news(*before, event=event)
    assert isinstance(found, Message)
    assert (found.kind, found.urgency, text(found), found.at) == (kind, urgency, words, AT)
    assert messages.is_relevant(event)


SILENT: list[tuple[tuple[e.Event, ...], e.Event]] = [
    ((WAITS,), WAITS),  # another branch or model, the same state
    ((e.Froze(True, "root"),), WAITS),
    ((), e.SessionChanged(SessionState.IDLE)),
    ((state("works"),), WAITS),  # the measured state counts
    ((state("limited", until=5.0),), state("limited", until=5.0, detail="more")),
    ((), e.SessionResumed(1, 5.0)),
    ((), e.Refused(Via.DNS, Reason.NOT_LISTED, name="a.example")),
    ((USED_UP,), USED_UP),
    ((USED_UP,), WARNED),
    ((), e.BudgetChanged(BudgetLevel.FINE)),
    ((SAVED,), SAVED),
    ((FAILED,), FAILED),
    ((), e.WorkCounted((OTHER,))),
    ((), e.WorkCounted((), Occasion.STOPPING)),
    ((), e.Noted("error", "x")),
    ((), e.NotificationsMeasured(1)),
]


@pytest.mark.parametrize(("before", "event"), SILENT)
def test_other_events_have_none(before: tuple[e.Event, ...], event: e.Event) -> None:
    found = news(*before, event=event)
    if isinstance(event, e.BudgetChanged) and before == (USED_UP,) and event == WARNED:
        assert text(found) == "the model has budget again"
    else:
        assert found is None


def test_an_agent_that_works_again_takes_its_question_back() -> None:
    assert news(WAITS, event=WORKS) == TakeBack(Kind.NEEDS_YOU)
    assert news(state("waits"), event=state("works", before="waits")) == TakeBack(Kind.NEEDS_YOU)
    assert news(state("overloaded"), event=state("works", before="overloaded")) == TakeBack(Kind.LIMIT)
    for after in ("waits", "stuck", "ended"):
        found = news(state("overloaded"), event=state(after, before="overloaded"))
        assert isinstance(found, Message)
        assert found.takes_back is Kind.LIMIT


def test_good_news_about_calls_of_the_model_are_not_lost_in_bad_ones() -> None:
    """All of it happens within the pause between two notifications of a kind."""
    folding = Folding(0.0)
    seen: list[e.Event] = []
    for now, event in (
        (0.0, state("limited", until=9.0)),
        (10.0, state("works", before="limited")),
        (20.0, state("refused", credential="KEY")),
        (30.0, state("works", before="refused")),
    ):
        found = news(*seen, event=event)
        assert isinstance(found, Message)
        folding.add(found, now)
        folding.due(now)
        seen.append(event)
    (last,) = folding.due(KIND_SECONDS)
    assert last.words == "the agent works again: calls of the model pass (2 times)"
    assert last.details == ("also: the API refuses the credential KEY",)
    waits = news(WORKS, event=WAITS)
    assert isinstance(waits, Message)
    assert waits.settle > 0


def test_refusals_that_look_like_a_tunnel_are_one_message() -> None:
    state, found = State(), []
    for number in range(300):
        event = e.Refused(Via.DNS, Reason.NOT_LISTED, name=f"{number:040x}.{AGENTS}.example")
        after = fold_all([e.Stamped(AT + number, number, event)], state)
        found.append(messages.news(event, Context(state, after, AT)))
        state = after
    (one,) = filter(None, found)
    assert "look suspicious" in text(one)
    assert AGENTS not in text(one)


@pytest.mark.parametrize(
    ("before", "event"),
    [((LISTED,), PUSH), ((), FOREIGN), ((), SAVED), ((SAVED,), FAILED),
     ((), e.SessionChanged(SessionState.ASKS, screen=(AGENTS,))), ((), e.SessionResumed(1, problem=AGENTS)),
     ((), e.ProtectionFailed(AGENTS))],
)  # fmt: skip
def test_the_agents_text_is_added_if_the_operator_wants_it(before: tuple[e.Event, ...], event: e.Event) -> None:
    assert AGENTS not in text(news(*before, event=event))
    assert AGENTS in text(news(*before, event=event, with_text=True))


def test_every_probe_can_be_named() -> None:
    assert {probe for wall in WALLS for probe in wall.probes} == messages.PROBES


@given(ANY_EVENT, st.booleans())
def test_every_event_is_one_printable_line(event: e.Event, with_text: bool) -> None:
    found = messages.news(event, Context(State(), fold_all([e.Stamped(AT, 1, event)]), AT, with_text))
    if isinstance(found, Message):
        for line in (found.text, *found.details):
            assert line.replace("\N{ZERO WIDTH SPACE}", "").isprintable()
            assert len(line) < 1000


def test_the_agents_text_is_bounded_and_means_nothing_to_a_service() -> None:
    cleaned = lines.agents_text([*(f"line {number}" for number in range(50)), "<!channel> @everyone \x1b[31m" + "x" * 500])
    assert len(cleaned) == lines.MAX_LINES
    assert cleaned[0] == "line 39"
    assert all(len(line) < 200 for line in cleaned)
    assert "<" not in cleaned[-1]
    assert "@everyone" not in cleaned[-1]
    assert "\x1b" not in cleaned[-1]
