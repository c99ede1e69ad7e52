"""How a process becomes somebody: what root runs on the way, and in which order."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

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
    in_words,
    name_of,
    run_async,
    write,
)


@pytest.mark.parametrize("identity", [AGENT, COREDNS, GUARD, GATE], ids=lambda identity: identity.name)
def test_what_root_runs_has_its_whole_path(identity: Identity) -> None:
    """The environment is that of the process to come: its PATH is no place to look for what is still run as root."""
    argv = identity.wrap(["true"])
    assert argv[0].startswith("/")
    assert SETPRIV in argv
    assert SETPRIV.startswith("/")


def test_the_agent_is_confined_before_it_is_the_agent() -> None:
    """A process of its uid without the filter could be attached to by another of its uid."""
    argv = AGENT.wrap(["true"])
    assert argv[: argv.index(SETPRIV)] == list(AGENT.through) != []
    assert argv[argv.index("--") + 1 :] == ["true"]


def test_root_is_root() -> None:
    assert ROOT.wrap(["true"]) == ["true"]


@pytest.mark.parametrize("said", ["", "nothing", "[" * 200_000, '{"a":' * 200_000])
def test_what_cannot_be_read_as_json_is_one_kind_of_error(said: str) -> None:
    with pytest.raises(ValueError):
        Finished((), 0, said, "").value()
    assert Finished((), 0, '{"a": [1]}', "").value() == {"a": [1]}


async def test_where_nothing_more_can_be_opened_it_is_one_kind_of_error() -> None:
    """The agent may use up what there is, and give it back: whoever starts something knows how to go on. Nothing leaks."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = os.open("/dev/null", os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (room + 1, limits[1]))
    os.close(room)  # one more may be opened, and no second one
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


def test_what_cannot_be_written_is_said_and_leaves_the_old_text_and_nothing_beside_it(tmp_path: Path) -> None:
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
def test_an_error_in_words(error: OSError, words: str) -> None:
    assert in_words(error) == words


def test_who_a_command_runs_as() -> None:
    """The guard starts its commands with ROOT, which drops nothing, so the process's own uid counts."""
    assert [name_of(uid) for uid in (0, GUARD.uid, 4711)] == ["root", "guard", "uid 4711"]
    assert (actual_name(), actual_name(AGENT)) == (name_of(os.geteuid()), "claude")
