"""The observer gets the start and the end of commands; without one nothing is recorded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from backend import commands
from backend.commands import MAX_LINES, MAX_STDERR, PREFIX
from tests.recorder import Recorder


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    commands.observe(made)
    yield made
    commands.observe(None)


def test_without_an_observer() -> None:
    with commands.observed(["true"], identity="root", environment={}, cwd="/") as outcome:
        assert not outcome.observed
    assert commands.begin(["true"], identity="root", environment={}, cwd="/") is None
    assert commands.option() == ()
    assert not commands.relayed(f"{PREFIX}a line", "guard")


def test_start_and_end(recorder: Recorder) -> None:
    with commands.observed(
        ["cat"], identity="claude", environment={"A": "b"}, cwd="/tmp", exec_argv=["setpriv", "cat"], stdin="text"
    ) as outcome:
        assert recorder.began[0].argv == ("cat",)
        assert recorder.done == []
        outcome.code = 3
    ((command, outcome, seconds),) = recorder.done
    assert command is recorder.began[0]
    assert (command.exec_argv, command.identity, command.cwd, command.stdin) == (("setpriv", "cat"), "claude", "/tmp", b"text")
    assert (outcome.code, outcome.problem, outcome.observed) == (3, "", True)
    assert seconds >= 0


@pytest.mark.parametrize(
    ("error", "problem"),
    [(ValueError("cannot run it: not outcome"), "cannot run it: not outcome"), (asyncio.CancelledError(), "CancelledError")],
)
def test_an_exception_becomes_the_problem_and_is_raised(recorder: Recorder, error: BaseException, problem: str) -> None:
    with (
        pytest.raises(type(error)),
        commands.observed(["true"], identity="root", environment={}, cwd="/"),
    ):
        raise error
    ((_, outcome, _),) = recorder.done
    assert (outcome.code, outcome.problem) == (None, problem)


def test_the_end_of_a_file() -> None:
    file = os.memfd_create("stderr")
    os.write(file, b"first\n" + PREFIX.encode() + b"of an observer\nlast\n")
    assert commands.last_lines_of(file) == "first\nlast"
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, b"planted-secret" * 10_000 + b"\nwhole\n")
    assert commands.last_lines_of(file) == "whole", "half of a line may be half of a secret"
    assert len(b"planted-secret" * 10_000) > MAX_STDERR
    os.ftruncate(file, 0)
    assert commands.last_lines_of(file) == ""
    os.close(file)
    assert commands.last_lines_of(file) == ""


def test_the_end_of_a_preallocated_file() -> None:
    file = os.memfd_create("stderr")
    os.ftruncate(file, 3 * MAX_STDERR)
    assert commands.last_lines_of(file) == ""
    os.pwrite(file, b"why\n", 0)
    assert commands.last_lines_of(file) == "why"
    os.pwrite(file, b"x" * MAX_STDERR + b"y\nlast\n", 0)
    assert commands.last_lines_of(file) == "last"
    os.close(file)


async def test_the_last_lines_of_a_service() -> None:
    stream, other = asyncio.StreamReader(), asyncio.StreamReader()
    commands.keep_lines(stream)
    for number in range(MAX_LINES + 5):
        commands.heard(stream, f"line {number}")
        commands.heard(other, "not kept")
    commands.heard(stream, f"{PREFIX}of an observer")
    assert commands.kept_lines(stream).splitlines() == [f"line {number}" for number in range(5, MAX_LINES + 5)]
    assert commands.kept_lines(other) == ""


def test_a_line_of_a_child_is_relayed(recorder: Recorder) -> None:
    assert commands.option() == ("--debug",)
    assert commands.relayed(f"{PREFIX}1#1 guard started: conntrack", "guard")
    assert not commands.relayed("codetainer: another line", "guard")
    assert recorder.lines == [("1#1 guard started: conntrack", "guard")]
