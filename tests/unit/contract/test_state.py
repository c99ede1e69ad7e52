"""Folding events into a state: all at once, in parts, and across a snapshot."""

import json

from hypothesis import given
from hypothesis import strategies as st

from backend.contract import events as e
from backend.contract.refusals import MAX_KEPT, MAX_OF_A_CROWD
from backend.contract.state import REFUSED_MINUTES, STEP_LINES, State, fold, fold_all
from tests.journals.make import JOURNALS, text

REFUSALS = st.lists(
    st.one_of(
        st.builds(
            e.Refused,
            via=st.sampled_from(e.Via),
            reason=st.sampled_from(e.Reason),
            count=st.integers(1, 9),
            name=st.sampled_from(["a.example", "b.example", ""]),
            port=st.sampled_from([0, 443]),
        ),
        st.just(e.Noted("info", "between")),
        st.just(e.Allowed("a.example")),
    ),
    max_size=40,
)


def journal(name: str) -> list[e.Stamped]:
    return [e.decode(line) for line in text(JOURNALS[name]()).splitlines()]


@given(REFUSALS, st.integers(0, 40))
def test_floods_fold_as_single_events_do(stream: list[e.Event], cut: int) -> None:
    stamped = [e.Stamped(number * 47.0, number, event) for number, event in enumerate(stream)]
    one_by_one = State()
    for each in stamped:
        one_by_one = fold(one_by_one, each)
    assert fold_all(stamped) == one_by_one == fold_all(stamped[cut:], fold_all(stamped[:cut]))


def test_every_recorded_state_survives_a_snapshot() -> None:
    for name in JOURNALS:
        state = fold_all(journal(name))
        line = e.encode(e.Stamped(state.updated_at, 1, e.Snapshot(state.as_json())))
        assert fold(State(), e.decode(line)) == state
        assert State.from_json(json.loads(json.dumps(state.as_json()))) == state


def test_a_boot_that_halts() -> None:
    state = fold_all(journal("halted"))
    assert state.boot is e.BootState.HALTED
    assert state.halted_step == "readiness"
    assert state.lock_released
    assert not state.session_created
    assert state.steps["session"].outcome is e.Outcome.CANCELLED


def test_a_protection_that_fails_later_closes_until_the_next_boot() -> None:
    assert (fold_all(journal("ready")).is_open, fold_all(journal("ready")).needs_retry) == (True, False)
    assert (fold_all(journal("halted")).is_open, fold_all(journal("halted")).needs_retry) == (False, True)
    event = e.ProtectionFailed("a reason", "Do it.", {"gate": "a reason"})
    state = fold_all([*journal("ready"), e.Stamped(2e9, 99, event)])
    assert (state.boot, state.halted_step, state.is_open, state.needs_retry) == (e.BootState.READY, "", False, True)
    assert (state.protection_failed, state.protection_failed_at) == (event, 2e9)
    again = fold(state, e.Stamped(2e9 + 1, 100, e.BootStarted("0.1.0", ())))
    assert (again.protection_failed, again.protection_failed_at, again.needs_retry) == (None, 0.0, False)


def test_a_journal_of_an_earlier_version_has_the_same_as_a_halt_at_a_step_that_went_well() -> None:
    old = e.BootFinished(e.BootState.HALTED, 0.0, "readiness", "a reason", "Do it.")
    state = fold_all([*journal("ready"), e.Stamped(2e9, 99, old)])
    assert (state.boot, state.protection_failed) == (e.BootState.READY, e.ProtectionFailed("a reason", "Do it."))


def test_the_end_of_init_says_whether_the_repository_is_there() -> None:
    state = fold_all([e.Stamped(1.0, 1, e.LockReleased(True, cloned=True))])
    assert state.cloned
    assert not fold(state, e.Stamped(2.0, 2, e.BootStarted("0.1.0", ()))).cloned


def test_a_new_boot_resets_boot_and_keeps_refusals() -> None:
    state = fold_all([*journal("halted"), e.Stamped(2e9, 99, e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, name="a.example"))])
    again = fold(state, e.Stamped(2e9 + 1, 100, e.BootStarted("0.1.0", ())))
    assert again.boot is e.BootState.BOOTING
    assert not again.reason
    assert not again.lock_released
    assert again.refusals == state.refusals


def test_the_state_is_bounded() -> None:
    flood = [
        e.Stamped(number * 10.0, number, e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, name=f"x{number}.example"))
        for number in range(MAX_KEPT * 3)
    ]
    lines = [e.Stamped(1.0, number, e.StepOutput("clone", str(number))) for number in range(STEP_LINES * 2)]
    state = fold_all([*flood, *lines])
    kept = [view.latest.name for _, view in state.refusals.policy()]
    assert len(kept) == state.refusals.kept == MAX_OF_A_CROWD
    assert state.refused_total == state.refusals.kinds == MAX_KEPT * 3
    assert len(state.refused_minutes) <= REFUSED_MINUTES
    assert kept[-1] == f"x{MAX_KEPT * 3 - 1}.example"
    assert state.steps["clone"].lines[-1] == str(STEP_LINES * 2 - 1)
    assert len(state.steps["clone"].lines) == STEP_LINES


def test_the_time_since_which_a_service_has_its_state() -> None:
    down = e.ServiceChanged("guard", e.ServiceState.DOWN)
    state = fold_all([e.Stamped(5, 1, down), e.Stamped(9, 2, e.ServiceChanged("guard", e.ServiceState.DOWN, restarts=2))])
    assert state.services_at["guard"] == 5
    assert fold(state, e.Stamped(11, 3, e.ServiceChanged("guard", e.ServiceState.UP))).services_at["guard"] == 11


def test_mutes_and_grants_can_be_revoked() -> None:
    state = fold_all([e.Stamped(1, 1, e.Muted("a.example")), e.Stamped(2, 2, e.Allowed("b.example", until=9))])
    assert dict(state.muted) == {"a.example": 0.0}
    assert state.allowed["b.example"].until == 9
    state = fold_all([e.Stamped(3, 3, e.Muted("a.example", -1)), e.Stamped(4, 4, e.Withdrawn("b.example"))], state)
    assert not state.muted
    assert not state.allowed


def opened(*stream: e.Event) -> dict[str, float]:
    state = fold_all(e.Stamped(1, number, event) for number, event in enumerate(stream))
    return {entry: grant.until for entry, grant in state.allowed.items()}


def test_each_port_of_a_name_has_its_own_time_limit() -> None:
    both = (e.Allowed("a.example", until=10), e.Allowed("a.example", "8443/tls,22", until=20))
    assert opened(*both) == {"a.example": 10, "a.example:8443/tls,22": 20}
    assert opened(*both, e.Allowed("a.example", "22,443", until=30)) == {
        "a.example:80": 10, "a.example:8443/tls": 20, "a.example:22,443": 30,
    }  # fmt: skip
    assert opened(*both, e.Withdrawn("a.example", ports="8443/tls")) == {"a.example": 10, "a.example:22": 20}
    assert opened(*both, e.Withdrawn("a.example", ports="443,80")) == {"a.example:8443/tls,22": 20}
    assert opened(*both, e.Allowed("b.example"), e.Withdrawn("a.example")) == {"b.example": 0}
    assert opened(*both, e.Allowed("a.example", "443,80,22,8443", until=40)) == {"a.example:443,80,22,8443": 40}


def test_an_expired_mute_is_forgotten() -> None:
    muted = [e.Stamped(float(at), at, e.Muted(f"{at}.example", at + 10.0)) for at in range(1, 1000)]
    state = fold_all([e.Stamped(0.0, 0, e.Muted("stays.example")), *muted])
    assert set(state.muted) == {"stays.example", *(f"{at}.example" for at in range(990, 1000))}


def test_an_event_of_a_newer_version_changes_only_the_time() -> None:
    assert fold(State(), e.Stamped(7, 1, e.Unknown("moon.rose"))) == State(updated_at=7)


def test_dropped_cookies_add_up_by_host_and_survive_a_snapshot() -> None:
    events = (e.CookiesDropped("a.test", 2), e.CookiesDropped("b.test"), e.CookiesDropped("a.test", 3))
    state = fold_all(e.Stamped(float(at), at, event) for at, event in enumerate(events, 1))
    assert state.cookies == {"a.test": (5, 3.0), "b.test": (1, 2.0)}
    assert State.from_json(json.loads(json.dumps(state.as_json()))) == state
