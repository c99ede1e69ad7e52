"""What was done to a journal, and the answer: whole, a gap with its lines, or cannot be established.

Length: all cases use the same night.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.contract import chain
from backend.contract.events import JournalSealed, Noted, decode
from backend.contract.paths import Paths
from backend.contract.traffic import Connection
from backend.journal import Journal
from backend.services.traffic import TrafficLog
from codetainer_tui import record, verify
from codetainer_tui.record import Answer, Result

LINES = 40  # of the journal in `night`; with seals after every tenth
ONE = Connection(1000.0, "tls", "a.example", "198.51.100.1", 443, 2048, 512, 0.25)


class Night:
    """A journal and a traffic log, and the clock that stamps them."""

    def __init__(self, folder: Path, segment_bytes: int = 1 << 20) -> None:
        self.now = 1000.0
        self.paths = Paths(folder)
        self.paths.run.mkdir(parents=True, exist_ok=True)
        self.segment_bytes = segment_bytes
        self.traffic = TrafficLog(self.paths.traffic, lambda: self.now, 4000)
        self.boot()

    def boot(self) -> None:
        self.journal = Journal(self.paths, self.segment_bytes, lambda: self.now)
        self.journal.traffic_head = lambda: self.traffic.head

    def live(self, lines: int, sealed: bool = True) -> None:
        if sealed:
            self.journal.begin_seals()
        for number in range(lines):
            self.now += 1
            self.journal.emit(Noted("info", f'number {number}, ","chain":"1-{"0" * 32}"}}'))
            self.traffic.add(ONE)
            if number % 10 == 9:
                self.journal.seal()

    @property
    def contents(self) -> list[bytes]:
        files = (self.paths.journal.with_name("events.1.jsonl"), self.paths.journal)
        return [file.read_bytes() for file in files if file.exists()]

    @property
    def connections(self) -> list[bytes]:
        files = (self.paths.traffic.with_name("traffic.jsonl.1"), self.paths.traffic)
        return [file.read_bytes() for file in files if file.exists()]


def examined(contents: list[bytes], head: str = "", key: str = "") -> Result:
    return record.journal(contents, verify._check, head, key)[0]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    made = Night(tmp_path_factory.mktemp("night"))
    made.live(LINES)
    made.journal.close()
    return made


@pytest.fixture(scope="module")
def lines(night: Night) -> list[bytes]:
    (content,) = night.contents
    return content.splitlines()


def joined(lines: list[bytes]) -> list[bytes]:
    return [b"".join(line + b"\n" for line in lines)]


def key_of(lines: list[bytes]) -> str:
    return str(json.loads(lines[0])["key"])


def head_of(line: bytes) -> str:
    return str(json.loads(line)["chain"])


def test_a_journal_as_it_was_written_is_whole(lines: list[bytes]) -> None:
    assert len(lines) == LINES + 1 + 4 + 1  # the first key, a seal after every tenth, the last one
    result = examined(joined(lines), head_of(lines[30]), key_of(lines))
    assert (result.answer, result.lines, result.since, result.until) == (Answer.WHOLE, len(lines), 1000.0, 1040.0)
    assert (result.sealed, result.gaps, result.doubts, result.notes) == (1040.0, [], [], [])


@settings(max_examples=60)
@given(st.data())
def test_a_line_that_is_deleted_is_a_gap(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines) - 2))
    result = examined(joined(lines[:at] + lines[at + 1 :]))
    assert result.answer is Answer.GAP
    assert result.gaps[0].lines in (1, 2)  # the line, and the one behind it, which cannot be checked
    if at:
        assert result.gaps[0].since == json.loads(lines[at - 1])["at"]


@settings(max_examples=60)
@given(st.data())
def test_a_line_that_is_altered_is_a_gap_of_one_line(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(lines) - 2))
    body = bytearray(lines[at])
    place = data.draw(st.integers(1, body.index(b',"chain":') - 1))
    body[place] = body[place] ^ 1
    result = examined(joined([*lines[:at], bytes(body), *lines[at + 1 :]]))
    assert result.answer is Answer.GAP
    assert 1 <= result.gaps[0].lines <= 2
    assert result.gaps[0].since == json.loads(lines[at - 1])["at"]


@settings(max_examples=60)
@given(st.data())
def test_lines_in_another_order_or_twice_are_a_gap(lines: list[bytes], data: st.DataObject) -> None:
    one, other = sorted(data.draw(st.lists(st.integers(1, len(lines) - 1), min_size=2, max_size=2, unique=True)))
    swapped = list(lines)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    assert examined(joined(swapped)).answer is Answer.GAP
    assert examined(joined([*lines[:other], lines[one], *lines[other:]])).answer is Answer.GAP


@settings(max_examples=40)
@given(st.data())
def test_a_stretch_that_is_deleted_is_a_gap_of_its_lines(lines: list[bytes], data: st.DataObject) -> None:
    begin = data.draw(st.integers(1, len(lines) - 3))
    end = data.draw(st.integers(begin + 1, len(lines) - 2))
    (gap, *_) = examined(joined(lines[:begin] + lines[end:])).gaps
    assert gap.lines in (end - begin, end - begin + 1)
    assert gap.since == json.loads(lines[begin - 1])["at"]


def test_a_beginning_that_is_deleted_is_a_gap(lines: list[bytes]) -> None:
    (gap,) = examined(joined(lines[5:])).gaps
    assert (gap.since, gap.until, gap.lines) == (None, json.loads(lines[5])["at"], 5)


@settings(max_examples=40)
@given(st.data())
def test_an_end_that_is_deleted_is_a_gap_if_a_head_is_known(lines: list[bytes], data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, len(lines) - 1))
    result = examined(joined(lines[:kept]))
    assert result.answer is Answer.WHOLE  # as far as anybody inside can tell
    assert any("ends without the last seal" in note for note in result.notes)
    (gap,) = examined(joined(lines[:kept]), head_of(lines[-1])).gaps
    assert (gap.since, gap.until, gap.lines) == (json.loads(lines[kept - 1])["at"], None, len(lines) - kept)


def rewritten(lines: list[bytes], change: Callable[[list[bytes]], list[bytes]]) -> list[bytes]:
    """Lines that were changed by somebody who computes the chain again, as anybody can."""
    link = chain.split(lines[0])
    assert link is not None
    head, result = link.previous, []
    for number, line in enumerate(change(lines)):
        old = chain.split(line)
        assert old is not None
        body = old.body[: old.body.index(b',"previous"')] if old.previous else old.body
        new, head = chain.link(head, body.decode() + "}", is_first=number == 0)
        result.append(new)
    return result


def test_lines_before_a_seal_cannot_be_rewritten_with_a_new_chain(lines: list[bytes]) -> None:
    """`root` altered the 5th line and computed everything again, but the first seal does not fit."""
    forged = rewritten(lines, lambda all_lines: [line.replace(b"number 4", b"number 5") for line in all_lines])
    result = examined(joined(forged))
    assert result.answer is Answer.GAP
    first = result.gaps[0]
    assert (first.since, first.until, first.lines) == (1000.0, 1010.0, 11)
    assert "rewritten" in first.why


def test_lines_after_the_last_seal_can_be_rewritten_unless_a_head_is_known(lines: list[bytes]) -> None:
    unsealed = lines[:39]  # the last seal in it is the 34th line
    forged = rewritten(unsealed, lambda all_lines: [*all_lines[:-1], all_lines[-1].replace(b"number", b"numbed")])
    assert forged[:-1] == unsealed[:-1]
    assert examined(joined(forged)).answer is Answer.WHOLE
    (gap,) = examined(joined(forged), head_of(unsealed[-1])).gaps
    assert "not the lines whose head was noted" in gap.why


def test_without_seals_for_long_it_cannot_be_established(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.live(9)
    night.now += record.MAX_UNSEALED + 1
    night.journal.emit(Noted("info", "late"))
    result = examined(night.contents)
    assert (result.answer, "have no seal" in result.doubts[0]) == (Answer.UNKNOWN, True)


def test_everything_written_anew_has_another_key(lines: list[bytes], tmp_path: Path) -> None:
    other = Night(tmp_path)
    other.live(LINES)
    assert examined(other.contents).answer is Answer.WHOLE
    result = examined(other.contents, key=key_of(lines))
    assert (result.answer, "no seal names the key" in result.doubts[0]) == (Answer.UNKNOWN, True)
    assert examined(other.contents, head=head_of(lines[20])).answer is Answer.GAP


def test_segments_follow_each_other_and_dropped_ones_are_named(tmp_path: Path) -> None:
    night = Night(tmp_path, segment_bytes=5000)
    night.live(200)
    older, current = night.contents
    result = examined([older, current])
    assert (result.answer, result.gaps) == (Answer.WHOLE, [])
    assert result.dropped > 50
    assert result.dropped + result.lines == chain.number(night.journal.head)
    assert examined([current]).dropped == result.dropped + len(older.splitlines())
    swapped = examined([current, older])
    assert swapped.answer is Answer.GAP
    last = older.splitlines()[-1]
    assert decode(last.decode()).event.kind == JournalSealed.kind
    (gap, *_) = examined([b"\n".join(older.splitlines()[:-1]) + b"\n", current]).gaps
    assert gap.lines in (1, 2)
    result = examined([older, current], head=f"1-{'0' * 32}")
    assert (result.answer, "is not in the file" in result.doubts[0]) == (Answer.UNKNOWN, True)


def test_half_a_line_at_the_end_is_no_gap(lines: list[bytes]) -> None:
    result = examined([joined(lines[:20])[0] + lines[20][:30]])
    assert (result.answer, result.lines) == (Answer.WHOLE, 20)
    assert any("cut short" in note for note in result.notes)


def test_a_supervisor_that_was_killed_and_started_again_continues_the_chain(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.live(12)
    with night.paths.journal.open("ab") as file:
        file.write(b'{"at":1013.0,"seq":99,"ki')
    first = key_of(night.contents[0].splitlines())
    night.boot()
    night.live(12)
    result = examined(night.contents)
    assert (result.answer, result.lines) == (Answer.WHOLE, 1 + 12 + 1 + 1 + 12 + 1)
    assert any("cut short" in note for note in result.notes)
    assert any("the supervisor was started again" in note for note in result.notes)
    result = examined(night.contents, key=first)
    assert (result.answer, "a new key begins" in result.doubts[0]) == (Answer.UNKNOWN, True)


def test_events_lost_on_a_full_file_system_are_no_gap(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.live(5)
    folder = night.paths.run
    folder.rename(folder.with_name("away"))
    night.journal._log.close()
    night.journal.emit(Noted("info", "lost"))
    folder.with_name("away").rename(folder)
    night.live(5, sealed=False)
    assert "1 events were lost" in night.contents[0].decode()
    assert examined(night.contents).answer is Answer.WHOLE


def test_a_journal_of_an_older_version_cannot_be_established(lines: list[bytes]) -> None:
    result = examined(joined([json.dumps({"at": 1.0, "seq": 1, "kind": "noted"}).encode()]))
    assert (result.answer, result.doubts) == (Answer.UNKNOWN, ["no line has a chain: it was written by an older version"])
    assert examined([b""]).doubts == ["it is empty"]
    assert examined(joined([*[json.dumps({"at": 1.0}).encode()] * 3, *lines])).doubts == [
        "the first 3 lines have no chain: they were written by an older version"
    ]


def test_a_line_that_was_added_is_a_gap(lines: list[bytes]) -> None:
    (gap,) = examined(joined([*lines[:20], b'{"at":1.0,"seq":1,"kind":"noted"}', *lines[20:]])).gaps
    assert gap.why == "a line that the supervisor did not write"


def test_the_journals_seals_have_the_heads_of_the_traffic_log(night: Night) -> None:
    _, seals = record.journal(night.contents, verify._check)
    connections = night.connections
    assert record.traffic(connections, seals).answer is Answer.WHOLE
    *older, current = connections
    cut = current.splitlines()[:-3]
    (gap, *_) = record.traffic([*older, b"\n".join(cut) + b"\n"], seals).gaps
    assert (gap.lines, gap.until) == (3, None)
    forged = Night(night.paths.root / "other")
    forged.live(LINES)
    assert record.traffic(forged.connections, seals).answer is Answer.GAP


@given(st.lists(st.binary(max_size=80), max_size=3))
def test_any_bytes_have_an_answer(contents: list[bytes]) -> None:
    assert examined(contents).answer in Answer
    assert record.traffic(contents, ()).answer in Answer


def test_the_answers_in_words(night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*files: Path, head: str = "", key: str = "", as_json: bool = False) -> tuple[int, str]:
        code = verify.verify(night.paths, files, head=head, key=key, as_json=as_json)
        return code, "".join(capsys.readouterr())

    code, text = run()
    assert (code, "journal: whole: 46 lines from" in text, "traffic log: whole" in text) == (0, True, True)
    assert "Nothing from outside confirms it" in text
    assert "Nothing from outside" not in run(key=key_of(night.contents[0].splitlines()))[1]
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(night.contents[0].replace(b"number 7", b"number 8"))
    code, text = run(damaged)
    assert (code, "journal: a gap\n  from " in text, ": 1 line: " in text) == (1, True, True)
    assert json.loads(run(damaged, as_json=True)[1])["journal"]["gaps"][0]["lines"] == 1
    code, text = run(tmp_path / "none")
    assert (code, f"cannot read {tmp_path / 'none'}: No such file or directory" in text) == (2, True)
    assert run(head="x")[0] == run(key="x")[0] == 2
    old = tmp_path / "old.jsonl"
    old.write_text('{"at":1.0,"seq":1,"kind":"noted"}\n')
    code, text = run(old)
    assert (code, text.startswith("journal: cannot be established: no line has a chain")) == (2, True)
