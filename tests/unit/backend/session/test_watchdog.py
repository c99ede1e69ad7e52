"""The state of the session as a fold over observations: a table of stories, each with the state that results."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from backend.contract.events import SessionMeasured, SessionState
from backend.session.watchdog import OTHERS, SETTLED, SHORT, STALE, Now, Report, Watchdog
from network.gate.calls import Answered, Ended, Moved, Note

EPOCH = 1_795_912_000.0
STUCK = 1800.0
TOKEN = "CLAUDE_CODE_OAUTH_TOKEN"
S = SessionState
WORKS, WAITS, FAILED = Report(S.WORKS, EPOCH), Report(S.WAITS, EPOCH), Report(S.WAITS, EPOCH, failed=True)
Step = float | Note | Report  # a pause, something that the gate saw, or what the agent's side says from now on


def at(steady: float) -> Now:
    return Now(EPOCH + steady, steady)


def limit(seconds: int = 3600, model: str = "opus") -> Answered:
    return Answered(429, model, TOKEN, {"retry-after": str(seconds)})


def told(steps: Sequence[Step]) -> tuple[list[SessionMeasured], Watchdog, Report, float]:
    """The states that are told, looking once a second."""
    watchdog, report, now = Watchdog(STUCK), WORKS, 0.0
    states: list[SessionMeasured] = []

    def look() -> None:
        before = states[-1] if states else None
        found = watchdog.judged(report, at(now), before)
        if found != before:
            states.append(found)

    look()
    for step in steps:
        if isinstance(step, Report):
            report = step
        elif isinstance(step, int | float):
            end = now + step
            while now + 1 < end:
                now += 1
                look()
            now = end
        else:
            watchdog.heard(step, at(now))
        look()
    return states, watchdog, report, now


def fine(model: str = "opus") -> tuple[Note, Note]:
    return Answered(200, model, TOKEN), Ended(True, model)


SILENT = Answered(0, "opus", TOKEN, silent=True)
SILENCE: tuple[Step, ...] = (60, SILENT)
OVERLOADED, CUT, REFUSED = Answered(529, "opus", TOKEN), Ended(False, "opus"), Answered(401, "opus", TOKEN)
STORIES: dict[str, tuple[Sequence[Step], Sequence[SessionState]]] = {
    "work": ([*fine(), 5, WAITS], [S.WORKS, S.WAITS]),
    "a limit, and a call that passes": ([limit(), FAILED, 3700, WORKS, *fine(), WAITS], [S.WORKS, S.LIMITED, S.WORKS, S.WAITS]),
    "a limit stays until a call passes": ([limit(60), FAILED, 10_000], [S.WORKS, S.LIMITED]),
    "a short limit that Claude repeats away": ([limit(4), 5, *fine()], [S.WORKS]),
    "a short limit that lasts": ([limit(4), 5, limit(4), 5, limit(4), 5], [S.WORKS, S.LIMITED]),
    "a long limit is told at once": ([limit(int(SHORT))], [S.WORKS, S.LIMITED]),
    "a limit after the work is done is over with its time": ([WAITS, limit(60), 70], [S.WORKS, S.WAITS, S.LIMITED, S.WAITS]),
    "another model's call does not end it": ([limit(), FAILED, *fine("haiku"), 5], [S.WORKS, S.LIMITED]),
    "but several do": ([limit(), FAILED, WORKS, *fine("haiku") * OTHERS], [S.WORKS, S.LIMITED, S.WORKS]),
    "a limit without an end": ([Answered(429, "opus", TOKEN), FAILED, 9000], [S.WORKS, S.LIMITED]),
    "an answer that begins ends a limit": ([limit(), FAILED, WORKS, fine()[0]], [S.WORKS, S.LIMITED, S.WORKS]),
    "the agent cannot hide a limit": ([limit(), Report(S.IDLE), 5, Report(S.UNKNOWN), 5, WAITS], [S.WORKS, S.LIMITED]),
    "nor fake one": ([FAILED, 100], [S.WORKS, S.WAITS]),
    "a single failure that Claude repeats": ([OVERLOADED, 1, *fine()], [S.WORKS]),
    "an overloaded API": ([OVERLOADED, 6, OVERLOADED, 6, OVERLOADED, 5, *fine()], [S.WORKS, S.OVERLOADED, S.WORKS]),
    "overloaded until Claude gives up": ([OVERLOADED, FAILED, 1000], [S.WORKS, S.OVERLOADED]),
    "failures long ago": ([OVERLOADED, 12, OVERLOADED, STALE + 5], [S.WORKS, S.OVERLOADED, S.WORKS]),
    "a failure while nobody works": ([WAITS, OVERLOADED, 100], [S.WORKS, S.WAITS]),
    "cut answers": ([CUT, 6, Answered(200, "opus", TOKEN), CUT, 6, *fine()], [S.WORKS, S.OVERLOADED, S.WORKS]),
    "a cut answer does not end with the next one's beginning": (
        [CUT, 6, CUT, 6, Answered(200, "opus", TOKEN), 5], [S.WORKS, S.OVERLOADED],
    ),
    "no connection": ([Answered(0, "opus", TOKEN), FAILED, 5], [S.WORKS, S.OVERLOADED]),
    "no answer until Claude gives up": (
        [*SILENCE * 13, FAILED, *SILENCE * 3, WORKS, 5, *fine()], [S.WORKS, S.OVERLOADED, S.WORKS],
    ),
    "a long answer in one piece": ([*SILENCE * 10, 5, *fine()], [S.WORKS]),
    "other errors": ([Answered(500, "opus", TOKEN), FAILED, 5], [S.WORKS, S.OVERLOADED]),
    "an invalid request says nothing": ([Answered(400, "opus", TOKEN), FAILED, 5], [S.WORKS, S.WAITS]),
    "a refused token": ([REFUSED, 1, REFUSED, FAILED, 100], [S.WORKS, S.REFUSED]),
    "a refused token, seen once": ([REFUSED, FAILED, 100], [S.WORKS, S.REFUSED]),
    "a lone 401 beside calls that pass": ([*fine(), REFUSED, 100, *fine(), WAITS], [S.WORKS, S.WAITS]),
    "a refused token that is good again": ([REFUSED, REFUSED, FAILED, 9, WORKS, *fine()], [S.WORKS, S.REFUSED, S.WORKS]),
    "a call without the token": ([Answered(401, "opus"), Answered(401, "opus"), FAILED, 5], [S.WORKS, S.WAITS]),
    "a limit shows that the token is good": ([REFUSED, REFUSED, limit(), FAILED], [S.WORKS, S.REFUSED, S.LIMITED]),
    "stuck": ([STUCK + 1], [S.WORKS, S.STUCK]),
    "stuck, and on": ([STUCK + 1, Moved(), 5], [S.WORKS, S.STUCK, S.WORKS]),
    "not stuck while it waits": ([WAITS, 3 * STUCK], [S.WORKS, S.WAITS]),
    "not stuck while answers arrive": ([STUCK - 1, Moved(), STUCK - 1, *fine(), STUCK - 1], [S.WORKS]),
    "ended": ([limit(), FAILED, Report(S.ENDED, EPOCH)], [S.WORKS, S.LIMITED, S.ENDED]),
}  # fmt: skip


@pytest.mark.parametrize(("steps", "states"), STORIES.values(), ids=STORIES)
def test_the_states_of_a_story(steps: Sequence[Step], states: Sequence[SessionState]) -> None:
    found = told(steps)[0]
    assert [each.state for each in found] == list(states)
    assert [each.before for each in found[1:]] == list(states[:-1])


def test_what_is_told_about_a_limit() -> None:
    limited = told([limit(600), FAILED])[0][-1]
    assert (limited.reason, limited.until, limited.since) == ("429", EPOCH + 600, EPOCH)
    assert limited.detail == "the API refuses calls of the model (429): a rate limit is reached"


def test_a_limit_is_told_again_if_its_end_changes_or_the_clock_is_set() -> None:
    states, watchdog, report, now = told([limit(600), FAILED, 10, limit(600)])
    assert [each.until for each in states[1:]] == [EPOCH + 600, EPOCH + 610]
    later = watchdog.judged(report, Now(EPOCH - 5000, now + 1), states[-1])  # the clock was set back
    assert later.until == pytest.approx(EPOCH - 5000 + 599)
    assert later.before is S.WORKS


def test_short_limits_that_follow_each_other_are_reported_once() -> None:
    steps: list[Step] = [step for _ in range(10) for step in (limit(40), 45.0)]
    states = told([*steps, FAILED])[0]
    assert [(each.state, each.until) for each in states] == [
        (S.WORKS, 0.0), (S.LIMITED, 0.0), (S.LIMITED, pytest.approx(EPOCH + 9 * 45 + 40)),
    ]  # fmt: skip


def test_a_limit_stays_while_claude_tries_to_continue() -> None:
    for seconds in (5, 600):
        states = told([limit(seconds), FAILED, 700, WORKS, 5, limit(seconds), FAILED, 700, WORKS, *fine()])[0]
        assert {each.state for each in states[1:-1]} == {S.LIMITED}
        assert states[-1].state is S.WORKS


def test_the_refused_credential_is_named() -> None:
    refused = told([REFUSED, REFUSED])[0][-1]
    assert (refused.state, refused.reason, refused.credential) == (S.REFUSED, "401", TOKEN)
    assert "wrong, expired or revoked" in refused.detail
    assert "payment" in told([Answered(402, "", TOKEN), FAILED])[0][-1].detail
    assert "permission" in told([Answered(403, "", TOKEN), FAILED])[0][-1].detail


def test_when_claude_may_be_told_to_continue() -> None:
    def stopped(*steps: Step) -> float | None:
        _, watchdog, report, _ = told(steps)
        return watchdog.stopped(report)

    assert stopped(10, limit(60), FAILED) == 70
    assert stopped(10, Answered(529, "opus"), 5, FAILED) == 10
    assert stopped(10, limit(60), WORKS) is None  # Claude repeats the call
    assert stopped(10, limit(60), WAITS) is None  # the turn has not failed: an operator interrupted it, or it was done
    assert stopped(10, SILENT, FAILED, 60, SILENT, 60, SILENT) == 10  # however long the API is silent after that
    assert stopped(10, FAILED) is None  # nothing failed at the gate
    assert stopped(10, limit(60), FAILED, *fine()) is None


def test_memory_is_bounded() -> None:
    watchdog = Watchdog()
    for number in range(1000):
        watchdog.heard(limit(model=f"m{number}"), at(number))
        watchdog.heard(Answered(401, "", f"c{number}"), at(number))
    assert len(watchdog._models) <= 8
    assert len(watchdog._credentials) <= 4
    assert SETTLED < SHORT
