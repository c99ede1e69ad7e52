"""Identities, limits and errors of commands."""

from __future__ import annotations

import errno
import os
import resource
import signal
from pathlib import Path

import pytest

from backend import system
from backend.system import (
    AGENT,
    COREDNS,
    GATE,
    GUARD,
    ROOT,
    SETPRIV,
    Finished,
    Identity,
    SystemFailure,
    actual_name,
    ask,
    describe,
    name_of,
    run_async,
    write,
)


@pytest.mark.parametrize("identity", [AGENT, COREDNS, GUARD, GATE], ids=lambda identity: identity.name)
def test_programs_run_as_root_have_absolute_paths(identity: Identity) -> None:
    """They already have the environment of the final process, whose PATH root must not use."""
    argv = identity.wrap(["true"])
    assert argv[0].startswith("/")
    assert SETPRIV in argv
    assert SETPRIV.startswith("/")


def test_the_agent_is_confined_before_the_uid_changes() -> None:
    """Other processes of the uid could attach to one that does not have the filter yet."""
    argv = AGENT.wrap(["true"])
    assert argv[: argv.index(SETPRIV)] == list(AGENT.through) != []
    assert argv[argv.index("--") + 1 :] == ["true"]


def test_root_runs_commands_unchanged() -> None:
    assert ROOT.wrap(["true"]) == ["true"]


@pytest.mark.parametrize("output", ["", "nothing", "[" * 200_000, '{"a":' * 200_000])
def test_invalid_json_is_a_value_error(output: str) -> None:
    with pytest.raises(ValueError):
        Finished((), 0, output, "").value()
    assert Finished((), 0, '{"a": [1]}', "").value() == {"a": [1]}


async def test_a_lack_of_descriptors_is_a_system_failure() -> None:
    """The agent may use them up for a while, so callers must be able to handle it. Nothing leaks."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = os.open("/dev/null", os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (room + 1, limits[1]))
    os.close(room)  # leaves room for one more descriptor
    try:
        for _ in range(2):
            with pytest.raises(SystemFailure, match="cannot run true: Too many open files"):
                await run_async(["true"])
            with pytest.raises(SystemFailure, match="Too many open files"):
                ask(["true"], environment={}, cwd="/", timeout=1.0, most=1)
        assert os.open("/dev/null", os.O_RDONLY) == room
        os.close(room)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_failed_write_keeps_the_old_text_and_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "Corefile"
    write(file, "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(SystemFailure, match=r"cannot write .*Corefile: File too large"):
            write(file, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("Corefile", "old")]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/dev/net/tun"), "/dev/net/tun: No such file or directory"),
        (OSError(24, "Too many open files"), "Too many open files"),
        (OSError("no number"), "no number"),
    ],
)
def test_the_text_of_an_error(error: OSError, words: str) -> None:
    assert describe(error) == words


def test_the_actual_user_of_a_command() -> None:
    """The guard starts its commands with ROOT, which changes nothing, so the guard's own uid counts."""
    assert [name_of(uid) for uid in (0, GUARD.uid, 4711)] == ["root", "guard", "uid 4711"]
    assert (actual_name(), actual_name(AGENT)) == (name_of(os.geteuid()), "claude")


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [(0, b"a line\n")],
        [(0, b"with \0 zeros\0between")],
        [(0, b"long" * 5000)],
        [(0, b"full" * (system.MAX_AGENT_OUTPUT // 4))],
        [(0, b"first"), (1 << 19, b"second"), ((1 << 20) - 5, b"third")],
    ],
)
def test_what_was_written_is_read_and_no_more(parts: list[tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with a limit have their full size from the start. To read their zeros took longer than most programs run."""
    expected = bytearray()
    read = []
    with system._memory_files(["program"], 1, system.MAX_AGENT_OUTPUT) as (file,):
        for at, data in parts:
            os.pwrite(file, data, at)
            expected += bytes(at - len(expected)) + data
        pread = os.pread

        def counted(fd: int, size: int, at: int) -> bytes:
            read.append(size)
            return pread(fd, size, at)

        monkeypatch.setattr(os, "pread", counted)
        assert system._written(file, system.MAX_AGENT_OUTPUT) == expected.decode()
    assert sum(read) < len(expected) + system.PAGE


def test_text_is_read_if_the_kernel_does_not_know_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    def lseek(*_: int) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    with system._memory_files(["program"], 1, system.MAX_AGENT_OUTPUT) as (file,):
        os.pwrite(file, b"a line\n", 0)
        monkeypatch.setattr(os, "lseek", lseek)
        assert system._written(file, system.MAX_AGENT_OUTPUT) == "a line\n"
