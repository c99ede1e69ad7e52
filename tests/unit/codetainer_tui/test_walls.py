"""What protects what: claimed where it was tried, said where the operator does without it, red where it did not hold."""

from __future__ import annotations

import pytest

from backend.contract import events as e
from backend.contract.state import State, fold_all
from codetainer_tui.plain import Lines
from codetainer_tui.view import view
from codetainer_tui.view.parts import Tone
from codetainer_tui.view.walls import OTHER, WALLS, table, walls

HELD = dict.fromkeys((*(probe for wall in WALLS for probe in wall.probes), *OTHER), "")
UP = (e.ServiceChanged("gate", e.ServiceState.UP, 5), e.ServiceChanged("sshd", e.ServiceState.UP, 6))


def events(
    results: dict[str, str], *, credentials: str = "outside", gate: bool = True, services: tuple[e.Event, ...] = UP
) -> list[e.Stamped]:
    failed = tuple(text for text in results.values() if text)
    found = [
        e.BootStarted("0.1.0", (), credentials=credentials, gate=gate), *services,
        e.ProofFinished(len(results), failed, "", results), e.BootFinished(e.BootState.READY, 4.0),
    ]  # fmt: skip
    return [e.Stamped(float(at), at, event) for at, event in enumerate(found, 1)]


def state(results: dict[str, str], **more: object) -> State:
    return fold_all(events(results, **more))  # type: ignore[arg-type]


def row(found: State, name: str) -> tuple[str, Tone]:
    (one,) = (line for line in walls(found) if line.label == name)
    return one.cells[0], one.tone


def without(*probes: str) -> dict[str, str]:
    return {probe: text for probe, text in HELD.items() if probe not in probes}


def test_every_wall_that_was_tried_holds() -> None:
    found = walls(state(HELD))
    assert [line.label for line in found] == [wall.name for wall in WALLS]
    assert {line.tone for line in found} == {Tone.GOOD}
    assert {line.cells[0] for line in found} == {"holds", "outside"}


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.name)
def test_one_probe_that_did_not_hold_is_enough(wall: object) -> None:
    for probe in getattr(wall, "probes", ()):
        found = state({**HELD, probe: "it was answered"})
        assert row(found, getattr(wall, "name", "")) == ("BROKEN", Tone.BAD)
        (summary,) = (line for line in view(found, 5.0).rows if line.label == "Walls")
        assert summary.tone is Tone.BAD
        assert f"{getattr(wall, 'name', '')} BROKEN" in summary.cells


@pytest.mark.parametrize(
    ("results", "more", "name", "word"),
    [
        (without("another site"), {}, "gate", "not tried"),
        (without("root read-only"), {}, "root", "not tried"),
        (without("another site"), {"gate": False}, "gate", "off"),
        (without("credentials"), {"credentials": "inside"}, "credentials", "inside"),
        (without("system calls"), {}, "system calls", "off"),
        (without("sshd"), {"services": UP[:1]}, "ssh", "off"),
        (HELD, {"services": (*UP, e.ServiceChanged("gate", e.ServiceState.DOWN))}, "gate", "down"),
        (HELD, {"services": (*UP, e.ServiceChanged("sshd", e.ServiceState.DOWN))}, "ssh", "down"),
    ],
)
def test_what_was_not_tried_or_not_wanted_is_not_claimed(
    results: dict[str, str], more: dict[str, object], name: str, word: str
) -> None:
    found = row(state(results, **more), name)
    assert found[0] == word
    assert found[1] is not Tone.GOOD


def test_a_probe_of_a_newer_version_has_a_row_of_its_own() -> None:
    assert row(state({**HELD, "some\x1b[2Jthing": ""}), "some\\x1b[2Jthing") == ("holds", Tone.GOOD)


def test_nothing_is_claimed_before_it_was_tried() -> None:
    assert walls(State()) == ()
    assert walls(state({})) == ()
    assert not [line for line in view(state({}), 5.0).rows if line.label == "Walls"]


def test_after_boot_the_lines_have_the_table() -> None:
    lines = Lines()
    said = [line for stamped in events(HELD) for line in lines.of(stamped)]
    at = said.index(next(line for line in said if "READY" in line))
    assert said[at + 1].endswith("protections:")
    assert said[at + 2 :] == table(walls(state(HELD))).splitlines()
    assert len(said[at + 2 :]) == len(WALLS)
