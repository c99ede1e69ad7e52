"""The traffic log: one line a connection, bounded whatever the agent does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backend.contract.traffic import Connection, decode, encode
from backend.services.traffic import MAX_A_SECOND, TrafficLog
from codetainer_tui import logs

ONE = Connection(1000.0, "tls", "a.example", "198.51.100.1", 443, 2048, 512, 0.25)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def written(path: Path) -> list[Connection]:
    return [decode(line) for line in path.read_text().splitlines()]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    log = TrafficLog(tmp_path / "traffic.jsonl", Clock())
    log.add(ONE)
    assert written(tmp_path / "traffic.jsonl") == [ONE]


def test_a_flood_is_added_up_second_by_second(tmp_path: Path) -> None:
    clock = Clock()
    log = TrafficLog(tmp_path / "traffic.jsonl", clock)
    for _ in range(MAX_A_SECOND + 1000):
        log.add(ONE)
    clock.now += 1
    log.add(replace(ONE, name="b.example"))
    found = written(tmp_path / "traffic.jsonl")
    assert len(found) == MAX_A_SECOND + 2
    assert (found[-2].count, found[-2].bytes_in, found[-2].name) == (1000, 2048 * 1000, "")
    assert found[-1].name == "b.example"


def test_it_takes_two_segments_at_most(tmp_path: Path) -> None:
    log = TrafficLog(tmp_path / "traffic.jsonl", Clock(), segment_bytes=2000)
    for _ in range(200):
        log.add(ONE)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["traffic.jsonl", "traffic.jsonl.1"]
    assert all(file.stat().st_size <= 2000 for file in files)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # from Python 3.13 on, when it is collected
def test_a_file_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "traffic.jsonl").symlink_to("/dev/full")
    TrafficLog(tmp_path / "traffic.jsonl", Clock()).add(ONE)


@pytest.mark.parametrize("line", ["", "{", "[]", '{"at": 1}', '{"other": 1}'])
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"traffic log|Expecting"):
        decode(line)


def test_in_words() -> None:
    assert logs.words(ONE).endswith(" tls  a.example:443  in 2.0 kB, out 512 B, 0.2 s")
    assert "1 000 more" in logs.words(replace(ONE, count=1000, name=""))
    assert "\x1b" not in logs.words(replace(ONE, name="\x1b[2J"))


def test_it_survives_encoding() -> None:
    assert decode(encode(ONE)) == ONE
