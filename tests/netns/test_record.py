"""The record of a real sandbox: whole as it is, a gap after an edit, sealed to its end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.events import Carried, JournalSealed, decode
from codetainer_tui import record, verify
from codetainer_tui.record import Answer
from tests.netns.sandbox import Running, eventually, start
from tests.netns.test_cases import connect, refused

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("record"), f"record-{os.getpid()}", REPO_URL="https://github.com/example/demo")
    yield running
    running.stop()


def test_the_record_of_a_sandbox_is_whole_and_an_edit_is_named(box: Running, tmp_path: Path) -> None:
    assert connect(box, "192.0.2.77") == "refused"
    eventually("the refusal is reported", lambda: refused(box, address="192.0.2.77"))
    eventually("the clone is reported as traffic", lambda: box.events(Carried))
    known = json.loads(box.codetainer("status", "--json").stdout)["journal"]
    assert f"the key of its seals is {known['key']}" in box.codetainer("logs").stdout
    for arguments in ((), ("--key", known["key"]), ("--head", known["head"])):
        done = box.codetainer("verify", *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert "journal: whole: " in done.stdout
        assert "traffic log: whole: " in done.stdout
    lines = box.paths.journal.read_bytes().splitlines()
    at = next(number for number, line in enumerate(lines) if b'"192.0.2.77"' in line)
    assert at < len(lines) - 2  # a later line shows that it is missing
    copy = tmp_path / "edited.jsonl"
    copy.write_bytes(b"\n".join([*lines[:at], *lines[at + 1 :]]) + b"\n")
    result, _ = record.journal([copy.read_bytes()], verify._check)
    (gap,) = result.gaps
    assert (gap.since, gap.until, gap.lines) == (
        decode(lines[at - 1].decode()).at, decode(lines[at + 2].decode()).at, 2,
    )  # fmt: skip
    assert verify.verify(box.paths, [copy], head="", key="", as_json=False) == 1


def test_a_sandbox_that_ends_seals_its_record(tmp_path: Path) -> None:
    running = start(tmp_path, f"sealed-{os.getpid()}", REPO_URL="https://github.com/example/demo")
    with running.paths.journal.open("rb") as journal, running.paths.traffic.open("rb") as traffic:
        running.stop()
        content, connections = journal.read(), traffic.read()  # their file system ends with the sandbox, but for these
    result, seals = record.journal([content], verify._check)
    assert (result.answer, result.notes) == (Answer.WHOLE, []), result
    assert [seal.last for seal in seals] == [True]
    assert isinstance(decode(content.splitlines()[-1].decode()).event, JournalSealed)
    assert record.traffic([connections], seals).answer is Answer.WHOLE
