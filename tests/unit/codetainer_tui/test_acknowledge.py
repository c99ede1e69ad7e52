"""`acknowledge` marks only refusals that it has printed or counted, and `logs --serious` prints all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.contract import events as e
from backend.contract.control import Acknowledge, Reply, Request
from backend.contract.events import Reason, Refused, Via
from backend.contract.paths import Paths
from backend.contract.refusals import MAX_SERIOUS
from backend.contract.state import fold_all
from codetainer_tui import acknowledge, ask, logs
from codetainer_tui.view.refusals import IN_THE_LOG

FLOOD = 300
SCAN = [Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", f"10.0.{n >> 8}.{n & 255}", 22) for n in range(FLOOD)]
FOREIGN = Refused(Via.GATE, Reason.NOT_OURS, 1, "tcp", "api.github.com", "198.51.100.11", 443)
TUNNEL = [Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", f"n{n}.t.example") for n in range(100)]
OTHERS = [Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "needed.example"), e.Noted("info", "hello")]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.run.mkdir(parents=True)
    return found


def write(path: Path, *events: e.Event) -> list[e.Stamped]:
    stamped = [e.Stamped(1000.0 + number, number, event) for number, event in enumerate(events)]
    path.write_text("".join(f"{e.encode(one)}\n" for one in stamped))
    return stamped


def test_acknowledged_refusals_are_printed_or_counted(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = fold_all(write(paths.journal, *SCAN, FOREIGN, *TUNNEL, *OTHERS))
    asked: list[Request] = []

    def answer(path: Path, request: Request) -> Reply:
        asked.append(request)
        return Reply(True, f"{state.refusals.alarms} acknowledged")

    monkeypatch.setattr(ask, "ask", answer)
    assert acknowledge.acknowledge(paths) == 0
    said = capsys.readouterr().out
    assert asked == [Acknowledge(state.updated_at)]
    assert all(f" 10.0.0.{number}:22 " in said for number in range(MAX_SERIOUS))
    assert "api.github.com" in said
    (rest,) = re.findall(r"([0-9]+) more, latest 10\.0\.1\.43:22", said)
    (tunnel,) = re.findall(r"([0-9]+) names below t\.example", said)
    assert (int(rest), int(tunnel)) == (FLOOD - MAX_SERIOUS, len(TUNNEL))
    assert IN_THE_LOG in said
    assert said.splitlines()[-1] == f"{FLOOD + 2} acknowledged"
    assert "needed.example" not in said


def test_the_log_contains_each_serious_refusal_and_the_names_of_a_tunnel(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    write(paths.journal, *OTHERS, *SCAN, FOREIGN, *TUNNEL)
    assert logs.logs(paths, go_on=False, as_json=False, serious=True) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()[1:]
    assert len(lines) == FLOOD + 1 + len(TUNNEL)
    assert all(any(f"refused {one.address}:22:" in line for line in lines) for one in SCAN)
    assert all(any(f"refused {one.name}:" in line for line in lines) for one in TUNNEL)
    assert said.err == ""


def test_a_journal_without_its_beginning_is_reported(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    state = fold_all(write(paths.journal, *SCAN))
    write(paths.journal, e.Snapshot(state.as_json()), FOREIGN)
    logs.logs(paths, go_on=False, as_json=False, serious=True)
    said = capsys.readouterr()
    assert "the journal has no events before" in said.err
    assert len(said.out.splitlines()) == 2
