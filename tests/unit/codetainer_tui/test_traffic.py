"""The output of `codetainer traffic`."""

from __future__ import annotations

from backend.contract.events import Carried, Stamped
from backend.contract.state import CARRIED_NAMES, State, fold_all
from codetainer_tui.traffic import table


def state(*carried: Carried) -> State:
    return fold_all([Stamped(1000.0, number, one) for number, one in enumerate(carried)], State(gate=True))


def test_the_latest_name_comes_first() -> None:
    lines = table(state(Carried("a.example", 1, 0, 10, 20, 990.0), Carried("b.example", 12, 2, 5000, 20, 1000.0)), 1000.0)
    assert [line.split()[0] for line in lines.splitlines()] == ["name", "b.example", "a.example"]
    assert "12" in lines.splitlines()[1]


def test_without_traffic_or_gate_one_sentence_says_so() -> None:
    assert table(State(gate=True), 0.0) == "no traffic yet\n"
    assert "the gate is off" in table(State(), 0.0)


def test_names_of_a_wildcard_are_bounded() -> None:
    many = [Carried(f"n{number}.example", 1, 0, 1, 1, 1.0) for number in range(CARRIED_NAMES + 10)]
    kept = state(*many).carried
    assert len(kept) == CARRIED_NAMES
    assert "n0.example" not in kept
