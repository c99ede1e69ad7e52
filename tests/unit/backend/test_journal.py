"""The journal: one line an event, bounded, and never in anybody's way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.contract.events import Noted, Reason, Refused, Snapshot, Via, decode
from backend.contract.paths import Paths
from backend.contract.state import fold_all
from backend.journal import Journal


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.run.mkdir(parents=True)
    return found


def refused(number: int) -> Refused:
    return Refused(Via.DNS, Reason.NOT_LISTED, name=f"name{number}.example\x1b[2J")


def test_lines_are_numbered_stamped_and_world_readable(paths: Paths) -> None:
    journal = Journal(paths, clock=lambda: 12.5)
    journal.emit(Noted("info", "one\ntwo"))
    journal.emit(refused(1))
    lines = paths.journal.read_text().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]
    assert [json.loads(line)["at"] for line in lines] == [12.5, 12.5]
    assert "\x1b" not in paths.journal.read_text()
    assert paths.journal.stat().st_mode & 0o777 == 0o644


def test_a_new_segment_begins_with_all_that_is_known(paths: Paths) -> None:
    journal = Journal(paths, segment_bytes=20_000)
    for number in range(500):
        journal.emit(refused(number % 7))
    first = decode(paths.journal.read_text().splitlines()[0])
    assert isinstance(first.event, Snapshot)
    assert fold_all(decode(line) for line in paths.journal.read_text().splitlines()) == journal.state
    assert journal.state.refused_total == 500
    assert sum(path.stat().st_size for path in paths.run.glob("events*")) < 100_000


def test_where_nothing_can_be_written_it_goes_on_and_says_so_later(paths: Paths) -> None:
    journal = Journal(paths)
    paths.run.rename(paths.run.with_name("away"))
    for number in range(3):
        journal.emit(refused(number))
    paths.run.with_name("away").rename(paths.run)
    journal.emit(refused(9))
    events = [decode(line).event for line in paths.journal.read_text().splitlines()]
    assert events[-1] == Noted("warning", "3 events were lost: the journal could not be written")
    assert journal.state.refused_total == 4


def test_it_follows_no_link(paths: Paths) -> None:
    (paths.run / "elsewhere").write_text("")
    paths.journal.symlink_to(paths.run / "elsewhere")
    Journal(paths).emit(refused(1))
    assert (paths.run / "elsewhere").read_text() == ""
