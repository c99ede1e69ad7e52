"""The table of protections: passed, failed, untested or turned off."""

from __future__ import annotations

import dataclasses

import pytest

from backend.contract import events as e
from backend.contract.state import State, fold_all
from codetainer_tui.plain import Lines
from codetainer_tui.view import view
from codetainer_tui.view.parts import Tone
from codetainer_tui.view.walls import OTHER, WALLS, notes, table, walls

HELD = dict.fromkeys((*(probe for wall in WALLS for probe in wall.probes), *OTHER), "")
UP = tuple(e.ServiceChanged(name, e.ServiceState.UP, 5) for name in ("gate", "reader", "sshd"))


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


def test_every_protection_holds_after_a_passed_self_test() -> None:
    found = walls(state(HELD))
    assert [line.label for line in found] == [wall.name for wall in WALLS]
    assert {line.tone for line in found} == {Tone.GOOD}
    assert {line.cells[0] for line in found} == {"holds", "outside"}


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.name)
def test_one_failed_probe_fails_its_protection(wall: object) -> None:
    for probe in getattr(wall, "probes", ()):
        found = state({**HELD, probe: "it was answered"})
        assert row(found, getattr(wall, "name", "")) == ("FAILED", Tone.BAD)
        (summary,) = (line for line in view(found, 5.0).rows if line.label == "Protections")
        assert summary.tone is Tone.BAD
        assert f"{getattr(wall, 'name', '')} FAILED" in summary.cells


@pytest.mark.parametrize(
    ("results", "more", "name", "word"),
    [
        (without("another site"), {}, "gate", "not tested"),
        (without("root read-only"), {}, "root", "not tested"),
        (without("another site"), {"gate": False}, "gate", "off"),
        (without("credentials"), {"credentials": "inside"}, "credentials", "inside"),
        (without("system calls"), {}, "system calls", "off"),
        (without("sshd"), {"services": UP[:1]}, "ssh", "off"),
        (HELD, {"services": (*UP, e.ServiceChanged("gate", e.ServiceState.DOWN))}, "gate", "down"),
        (HELD, {"services": (*UP, e.ServiceChanged("sshd", e.ServiceState.DOWN))}, "ssh", "down"),
    ],
)
def test_untested_and_disabled_protections_are_not_shown_as_holding(
    results: dict[str, str], more: dict[str, object], name: str, word: str
) -> None:
    found = row(state(results, **more), name)
    assert found[0] == word
    assert found[1] is not Tone.GOOD


def test_the_summary_is_yellow_if_a_protection_is_turned_off() -> None:
    (summary,) = (line for line in view(state(HELD), 5.0).rows if line.label == "Protections")
    assert (summary.cells[0], summary.tone) == ("11 of 11 verified now", Tone.PLAIN)
    reduced = view(state(without("another site"), gate=False, credentials="inside"), 5.0)
    (summary,) = (line for line in reduced.rows if line.label == "Protections")
    assert (summary.cells[:3], summary.tone) == (("9 of 11 verified now", "gate off", "credentials inside"), Tone.WARN)


def test_a_probe_of_a_newer_version_has_a_row_of_its_own() -> None:
    assert row(state({**HELD, "some\x1b[2Jthing": ""}), "some\\x1b[2Jthing") == ("holds", Tone.GOOD)


def test_a_sandbox_without_root_says_what_is_different() -> None:
    assert notes(state(HELD)) == ""
    shown = notes(dataclasses.replace(state(HELD), rootless=True))
    assert "stronger: root here is not the machine's root" in shown
    assert "can read the tokens" in shown
    assert all(len(line) <= 128 for line in shown.splitlines())


def test_no_protection_is_shown_before_the_first_self_test() -> None:
    assert walls(State()) == ()
    assert walls(state({})) == ()
    assert not [line for line in view(state({}), 5.0).rows if line.label == "Protections"]


def test_the_log_lists_the_protections_after_boot() -> None:
    lines = Lines()
    said = [line for stamped in events(HELD) for line in lines.of(stamped)]
    at = said.index(next(line for line in said if "READY" in line))
    assert said[at + 1].endswith("protections:")
    assert said[at + 2 :] == table(walls(state(HELD))).splitlines()
    assert len(said[at + 2 :]) == len(WALLS)


def test_in_a_learning_run_protections_are_reduced_and_none_fails() -> None:
    found = dataclasses.replace(state(HELD), learning=True)
    reduced = [line for line in walls(found) if line.cells[0] == "reduced"]
    assert [line.label for line in reduced] == ["DNS", "addresses"]
    assert {line.tone for line in reduced} == {Tone.WARN}
    (summary,) = (line for line in view(found, 5.0).rows if line.label == "Protections")
    assert {"DNS reduced", "addresses reduced"} <= set(summary.cells)
    broken = dataclasses.replace(state({**HELD, "unlisted name": "it was answered"}), learning=True)
    assert row(broken, "DNS") == ("FAILED", Tone.BAD)


def test_the_line_of_a_self_test_says_that_it_means_less() -> None:
    event = e.ProofFinished(9, reduced="learning run: public names open")
    assert Lines().text(event, 0.0) == (
        "self-test passed, but protections are reduced (learning run: public names open): 9 checks"
    )
