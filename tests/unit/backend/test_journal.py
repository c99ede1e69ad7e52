"""The journal: one line per event, bounded in size; a full file system never stops the supervisor."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.events import Allowed, Froze, Noted, Reason, Refused, Snapshot, Via, decode
from backend.contract.paths import Paths
from backend.contract.state import fold_all
from backend.journal import Journal
from codetainer_tui.journal import Reader


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.run.mkdir(parents=True)
    return made


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


def test_a_new_segment_begins_with_a_snapshot(paths: Paths) -> None:
    journal = Journal(paths, segment_bytes=20_000)
    for number in range(500):
        journal.emit(refused(number % 7))
    first = decode(paths.journal.read_text().splitlines()[0])
    assert isinstance(first.event, Snapshot)
    assert fold_all(decode(line) for line in paths.journal.read_text().splitlines()) == journal.state
    assert journal.state.refused_total == 500
    assert sum(path.stat().st_size for path in paths.run.glob("events*")) < 100_000


def test_lost_events_are_counted_and_reported_later(paths: Paths) -> None:
    journal = Journal(paths)
    paths.run.rename(paths.run.with_name("away"))
    for number in range(3):
        journal.emit(refused(number))
    paths.run.with_name("away").rename(paths.run)
    journal.emit(refused(9))
    stamped = [decode(line) for line in paths.journal.read_text().splitlines()]
    assert stamped[1].event == Noted("warning", "3 events were lost: the journal could not be written")
    assert journal.state.refused_total == 4
    assert fold_all(stamped) == journal.state


@contextlib.contextmanager
def full(at: int) -> Iterator[None]:
    """Limits files to this many bytes: the line that reaches the limit is cut, later ones are not written."""
    limits, before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_readers_get_a_snapshot_after_lost_events(paths: Paths) -> None:
    """Without it, readers would miss until the next segment, days later, that the sandbox is frozen."""
    journal, reader = Journal(paths), Reader(paths.journal)
    journal.emit(refused(0))
    seen = fold_all(reader.poll())
    with full(paths.journal.stat().st_size + 30):
        journal.emit(Froze(True))
        journal.emit(Allowed("more.example", until=5.0))
        assert fold_all(reader.poll(), seen) == seen
    for room in (300, 500):
        with full(paths.journal.stat().st_size + room):
            journal.emit(refused(1))  # room for this and for the note, but not for a snapshot
        assert not fold_all(reader.poll(), seen).frozen
    journal.emit(refused(2))
    seen = fold_all(reader.poll(), seen)
    assert seen == journal.state
    assert (seen.frozen, set(seen.allowed)) == (True, {"more.example"})
    journal.emit(refused(3))
    kinds = [decode(line).event.kind for line in paths.journal.read_text().splitlines()]
    assert (kinds.count("snapshot"), kinds[-2:]) == (1, ["snapshot", "refused"])
    (note,) = [note.text for note in journal.state.notes if note.text.startswith("2 events were lost")][-1:]
    assert note in paths.journal.read_text()


def test_the_journal_of_an_earlier_boot_is_kept(paths: Paths) -> None:
    """A second boot appends; on a full file system only its own partial line is removed."""
    Journal(paths).emit(refused(0))
    before = paths.journal.read_bytes()
    second = Journal(paths)
    with full(len(before) + 20):
        second.emit(refused(1))
    assert paths.journal.read_bytes() == before


def test_symbolic_links_are_not_followed(paths: Paths) -> None:
    (paths.run / "elsewhere").write_text("")
    paths.journal.symlink_to(paths.run / "elsewhere")
    Journal(paths).emit(refused(1))
    assert (paths.run / "elsewhere").read_text() == ""
