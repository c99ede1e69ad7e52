"""When Claude is told to continue: after the end of a limit, then after growing pauses, until a call passes."""

from __future__ import annotations

import itertools

from backend.session.resumption import PAUSES, Resumption
from backend.session.watchdog import Now

JITTER = 5.0


def tries(
    resumption: Resumption, stopped: float | None, until: int, *, named_end: bool, begin: int = 0, passes: int = 0
) -> list[int]:
    """The seconds at which it tries."""
    found = []
    for second in range(begin, until):
        now = Now(0.0, float(second))
        if resumption.due(stopped, now, passes=passes, named_end=named_end, jitter=JITTER):
            resumption.tried(now)
            found.append(second)
    return found


def test_after_a_limit() -> None:
    assert tries(Resumption(), 600.0, 604, named_end=True) == []
    found = tries(Resumption(), 600.0, 12_000, named_end=True)
    assert found[0] == 605
    assert [later - earlier for earlier, later in itertools.pairwise(found)][:6] == [60, 120, 300, 600, 1200, 1200]


def test_after_a_failure() -> None:
    found = tries(Resumption(), 600.0, 1000, named_end=False)
    assert found[:3] == [660, 720, 840]


def test_a_later_limit_is_waited_for() -> None:
    resumption = Resumption()
    assert tries(resumption, 600.0, 620, named_end=True) == [605]
    assert tries(resumption, 4200.0, 4400, named_end=True, begin=621) == [4205, 4325]


def test_a_call_that_passes_begins_anew() -> None:
    resumption = Resumption()
    tries(resumption, 600.0, 2000, named_end=True)
    assert resumption.tries > 3
    found = tries(resumption, 3000.0, 3200, named_end=True, begin=2001, passes=1)
    assert found == [3005, 3065, 3185]


def test_no_tries_if_off_or_if_nothing_has_stopped() -> None:
    assert tries(Resumption(on=False), 600.0, 5000, named_end=True) == []
    assert tries(Resumption(), None, 5000, named_end=True) == []


def test_a_try_can_be_put_off() -> None:
    resumption = Resumption()
    resumption.wait(Now(0.0, 600.0), 15.0)
    assert tries(resumption, 600.0, 700, named_end=True) == [615, 675]


def test_pauses_grow() -> None:
    assert list(PAUSES) == sorted(PAUSES)
