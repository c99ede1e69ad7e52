"""The traffic log: one line per connection, with limits that the agent cannot exceed."""

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


def test_a_connection_is_written_and_read_back(tmp_path: Path) -> None:
    log = TrafficLog(tmp_path / "traffic.jsonl", Clock())
    log.add(ONE)
    assert written(tmp_path / "traffic.jsonl") == [ONE]


def test_connections_beyond_the_limit_of_a_second_are_added_up(tmp_path: Path) -> None:
    clock = Clock()
    log = TrafficLog(tmp_path / "traffic.jsonl", clock)
    for _ in range(MAX_A_SECOND + 1000):
        log.add(ONE)
    clock.now += 1
    log.add(replace(ONE, name="b.example"))
    connections = written(tmp_path / "traffic.jsonl")
    assert len(connections) == MAX_A_SECOND + 2
    assert (connections[-2].count, connections[-2].bytes_in, connections[-2].name) == (1000, 2048 * 1000, "")
    assert connections[-1].name == "b.example"


def test_the_log_has_at_most_two_files(tmp_path: Path) -> None:
    log = TrafficLog(tmp_path / "traffic.jsonl", Clock(), segment_bytes=2000)
    for _ in range(200):
        log.add(ONE)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["traffic.jsonl", "traffic.jsonl.1"]
    assert all(file.stat().st_size <= 2000 for file in files)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python 3.13 and newer, at collection
def test_a_full_file_system_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "traffic.jsonl").symlink_to("/dev/full")
    TrafficLog(tmp_path / "traffic.jsonl", Clock()).add(ONE)


@pytest.mark.parametrize("line", ["", "{", "[]", '{"at": 1}', '{"other": 1}'])
def test_invalid_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"traffic log|Expecting"):
        decode(line)


def test_the_text_of_a_connection() -> None:
    assert logs.words(ONE).endswith(" tls  a.example:443  in 2.0 kB, out 512 B, 0.2 s")
    assert "1 000 more" in logs.words(replace(ONE, count=1000, name=""))
    assert "\x1b" not in logs.words(replace(ONE, name="\x1b[2J"))


def test_encoding_and_decoding_keep_a_connection() -> None:
    assert decode(encode(ONE)) == ONE
