"""Counters over the journal only grow, and the agent cannot multiply them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.contract import events as e
from backend.contract.state import fold_all
from codetainer_tui.metrics.tally import MAX_NAMES, MAX_SEEN, OTHERS, Tally
from tests.journals.counted import EVENTS, tally


def counted(*events: e.Event) -> Tally:
    found = Tally()
    found.add(e.Stamped(float(at), at, event) for at, event in enumerate(events, 1))
    return found


def refused(name: str, count: int = 1) -> e.Refused:
    return e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, count, "dns", name)


def carried(name: str, connections: int, received: int = 0, sent: int = 0) -> e.Carried:
    return e.Carried(name, connections, 0, received, sent, 1.0)


def test_everything_is_counted_once() -> None:
    found = tally()
    assert found.refused == {("dns", "not on the allowlist"): 3}
    assert found.refused_names == {("telemetry.example", "not on the allowlist"): 3}
    assert found.restarts == {"gate": 1}
    assert found.proofs == {"held": 1, "broken": 0}
    assert (found.carried["api.example"].connections, found.carried["api.example"].bytes_in) == (5, 1000)


def test_totals_of_the_gate_are_not_added_up() -> None:
    found = counted(carried("a.example", 2, 10, 1), carried("a.example", 5, 100, 7))
    assert (found.carried["a.example"].connections, found.carried["a.example"].bytes_out) == (5, 7)
    found.add([e.Stamped(9.0, 9, carried("a.example", 1, 4, 4))])  # restarted
    assert (found.carried["a.example"].connections, found.carried["a.example"].bytes_in) == (6, 104)
    found.add([e.Stamped(10.0, 10, carried("a.example", 2, 1, 1))])  # restarted again, and one event was missed
    assert (found.carried["a.example"].connections, found.carried["a.example"].bytes_in) == (7, 104)
    assert found.carried["a.example"].bytes_out == 11


def test_an_address_without_a_name_is_its_own_label() -> None:
    found = counted(e.Refused(e.Via.FIREWALL, e.Reason.NEVER_RESOLVED, 2, "tcp", address="192.0.2.7"))
    assert found.refused_names == {("192.0.2.7", "no DNS lookup"): 2}


def test_the_first_start_of_a_service_is_not_a_restart() -> None:
    assert counted(e.ServiceChanged("gate", e.ServiceState.STARTING, 0)).restarts == {}


def test_the_least_recent_names_are_forgotten() -> None:
    found = counted(*(carried(f"n{n}.example", 1) for n in range(MAX_SEEN + 5)))
    assert len(found._last) == MAX_SEEN


def test_a_name_seen_again_is_not_forgotten_first() -> None:
    found = counted(carried("old.example", 3), *(carried(f"n{n}.example", 1) for n in range(MAX_SEEN - 1)))
    found.add([e.Stamped(9.0, 9, carried("old.example", 4)), e.Stamped(9.0, 9, carried("new.example", 1))])
    found.add([e.Stamped(9.0, 9, carried("old.example", 5))])
    assert found.carried["old.example"].connections == 5


def test_names_are_bounded_and_all_counts_are_kept() -> None:
    many = 3 * MAX_NAMES
    found = counted(
        *(refused(f"n{n}.example", 2) for n in range(many)), *(carried(f"n{n}.example", 1, 5, 5) for n in range(many))
    )
    assert len(found.refused_names) == MAX_NAMES + 1
    assert len(found.carried) == MAX_NAMES + 1
    assert sum(found.refused_names.values()) == 2 * many
    assert found.refused_names[OTHERS, "not on the allowlist"] == 2 * (many - MAX_NAMES)
    assert sum(total.connections for total in found.carried.values()) == many


def test_names_of_serious_refusals_have_counters_of_their_own() -> None:
    serious = e.Refused(e.Via.GATE, e.Reason.NOT_OURS, 1, "tcp", "api.example")
    found = counted(*(refused(f"n{n}.example", 1) for n in range(2 * MAX_NAMES)), serious)
    assert found.refused_names["api.example", "foreign credential"] == 1


def test_a_snapshot_at_the_start_of_the_journal_is_counted() -> None:
    """It counts every refusal of a recurring name."""
    events = (*EVENTS, *(refused("telemetry.example", 2) for _ in range(3)))
    before = [e.Stamped(float(at), at, event) for at, event in enumerate(events, 1)]
    snapshot = e.decode(e.encode(e.Stamped(99.0, 99, e.Snapshot(fold_all(before).as_json()))))
    found = Tally()
    found.add([snapshot])
    assert found.refused == {("dns", "not on the allowlist"): 9}
    assert found.carried["api.example"].connections == 5
    found.add([e.Stamped(100.0, 100, carried("api.example", 6, 1000, 300)), snapshot])  # of a later segment: counted already
    assert found.carried["api.example"].connections == 6
    assert found.refused == {("dns", "not on the allowlist"): 9}


@given(st.lists(st.tuples(st.text(max_size=8), st.integers(0, 50)), max_size=30))
def test_counters_never_fall(steps: list[tuple[str, int]]) -> None:
    found, before = Tally(), 0
    for at, (name, connections) in enumerate(steps):
        found.add([e.Stamped(float(at), at, carried(name, connections))])
        now = sum(total.connections for total in found.carried.values())
        assert now >= before
        before = now


def test_dropped_cookies_are_counted_by_host_even_from_before_the_first_segment() -> None:
    found = counted(e.CookiesDropped("a.test", 2), e.CookiesDropped("a.test"), e.CookiesDropped("b.test"))
    assert found.cookies == {"a.test": 3, "b.test": 1}
    later = counted(e.Snapshot(found.state.as_json()), e.CookiesDropped("a.test"))
    assert later.cookies == {"a.test": 4, "b.test": 1}
