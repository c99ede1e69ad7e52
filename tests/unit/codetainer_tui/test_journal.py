"""The reader, with a writer that rotates, truncates, dies in the middle of a line or starts late."""

from pathlib import Path

import pytest

from backend.contract import events as e
from backend.contract.paths import Paths
from backend.journal import Journal
from codetainer_tui import journal
from codetainer_tui.journal import Reader, before, follow


def noted(number: int) -> e.Noted:
    return e.Noted("info", str(number))


def texts(stamped_events: list[e.Stamped]) -> list[str]:
    return [stamped.event.text for stamped in stamped_events if isinstance(stamped.event, e.Noted)]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    return paths


def test_a_journal_that_does_not_exist_yet(paths: Paths) -> None:
    reader = Reader(paths.journal)
    assert reader.poll() == []
    writer = Journal(paths)
    writer.emit(noted(1))
    assert texts(reader.poll()) == ["1"]
    assert reader.poll() == []
    writer.emit(noted(2))
    assert texts(reader.poll()) == ["2"]


def test_a_partial_line_is_read_when_complete(paths: Paths) -> None:
    line = e.encode(e.Stamped(1, 1, noted(1))) + "\n"
    reader = Reader(paths.journal)
    paths.journal.write_text(line[:20])
    assert reader.poll() == []
    paths.journal.write_text(line)
    assert texts(reader.poll()) == ["1"]


def test_a_partial_line_may_be_removed_again(paths: Paths) -> None:
    first, second = (e.encode(e.Stamped(n, n, noted(n))) + "\n" for n in (1, 2))
    reader = Reader(paths.journal)
    paths.journal.write_text(first + second[:20])
    assert texts(reader.poll()) == ["1"]
    with paths.journal.open("r+") as file:
        file.truncate(len(first))
    assert reader.poll() == []
    with paths.journal.open("a") as file:
        file.write(second)
    assert texts(reader.poll()) == ["2"]


def test_corrupt_lines_are_skipped(paths: Paths) -> None:
    good = e.encode(e.Stamped(1, 1, noted(1)))
    paths.journal.write_bytes(b"\xff\xfe\n{}\n" + b"[" * 5000 + b"\n" + good.encode() + b"\n")
    assert texts(Reader(paths.journal).poll()) == ["1"]


def test_no_event_is_lost_or_repeated_across_segments(paths: Paths) -> None:
    writer = Journal(paths, segment_bytes=20_000)
    reader = Reader(paths.journal)
    seen: list[str] = []
    for number in range(1000):
        writer.emit(noted(number))
        if number % 3 == 0:
            seen += texts(reader.poll())
    seen += texts(reader.poll())
    assert seen == [str(number) for number in range(1000)]


def test_a_later_reader_starts_from_the_snapshot(paths: Paths) -> None:
    writer = Journal(paths, segment_bytes=2000)
    while not paths.journal.with_name("events.1.jsonl").exists():
        writer.emit(noted(1))
    first = Reader(paths.journal).poll()[0]
    assert isinstance(first.event, e.Snapshot)


def test_a_restarted_journal_is_read_from_its_snapshot(paths: Paths) -> None:
    writer = Journal(paths)
    reader = Reader(paths.journal)
    for number in range(20):
        writer.emit(noted(number))
    reader.poll()
    with paths.journal.open("r+") as file:
        file.truncate(0)
        file.write(e.encode(e.Stamped(5, 21, noted(21))) + "\n")
    assert texts(reader.poll()) == ["21"]


def test_events_of_an_earlier_boot_are_skipped(paths: Paths) -> None:
    writer = Journal(paths)
    writer.emit(noted(1))
    reader = Reader(paths.journal, past=False)
    writer.emit(noted(2))
    assert texts(reader.poll()) == ["2"]


def test_a_long_journal_is_read_in_pieces(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_BYTES", 100)
    writer = Journal(paths)
    for number in range(10):
        writer.emit(noted(number))
    writer.emit(e.Noted("info", "x" * 1000))
    reader = Reader(paths.journal)
    assert 0 < len(reader.poll()) < 5
    assert reader.behind
    assert len(list(follow(paths.journal, going_on=lambda: False))) == 11


def test_follow_reads_what_was_written_before_the_end(paths: Paths) -> None:
    writer = Journal(paths)
    left = iter([True, True, False])

    def going_on() -> bool:
        writer.emit(noted(1))
        return next(left)

    assert len(list(follow(paths.journal, going_on=going_on))) == 3


def test_the_previous_segment(paths: Paths) -> None:
    assert list(before(paths.journal)) == []
    paths.journal.with_name("events.1.jsonl").write_text(e.encode(e.Stamped(1, 1, noted(7))) + "\n")
    assert texts(list(before(paths.journal))) == ["7"]
