"""The one door to processes, with real ones: what they say, who holds what they say it into, how they end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from backend import system
from backend.contract.paths import AGENT_UID

pytestmark = pytest.mark.netns


def test_who_holds_the_output_holds_nobody_up() -> None:
    """A process in a session of its own keeps what it was given open: the end of the one that was asked for is what counts."""
    done = asyncio.run(system.run_async(["sh", "-c", "setsid sleep 60 & echo $!"], timeout=30.0))
    os.kill(int(done.out), signal.SIGKILL)
    assert done.code == 0


def test_what_is_said_without_end_finds_no_room() -> None:
    talk = "timeout 2 yes; echo $? $(timeout 2 yes 2>/dev/null | head -n 1) >&2; timeout 2 yes >&2"
    done = asyncio.run(system.run_async(["sh", "-c", talk], most=1000, check=False))
    assert (done.code, len(done.out), len(done.err)) == (1, 1000, 1000)
    assert "1 y" in done.err.split("\n")[:3]


def test_the_agents_processes_have_a_bound_in_any_case() -> None:
    agent = system.Identity("claude", AGENT_UID)
    done = asyncio.run(system.run_async(["sh", "-c", "timeout 5 yes"], identity=agent, check=False))
    assert (done.code, len(done.out)) == (1, system.MAX_AGENT_OUTPUT)


def test_what_is_roots_is_read_whole() -> None:
    done = asyncio.run(system.run_async(["sh", "-c", "head -c 3000000 /dev/zero; echo more > /dev/stderr"]))
    assert (len(done.out), done.err) == (3_000_000, "more\n")


def distrusted(script: str, most: int) -> system.Finished:
    return asyncio.run(
        system.run_distrusted(
            ["sh", "-c", script], what="it", identity=system.ROOT, environment=system.BASE_ENVIRONMENT, seconds=30.0, most=most
        )
    )


def test_who_holds_the_output_of_what_is_distrusted_holds_nobody_up() -> None:
    done = distrusted("setsid sleep 60 & echo $!", 1000)
    os.kill(int(done.out), signal.SIGKILL)
    assert done.code == 0


@pytest.mark.parametrize("most", [1000, system.PAGE, system.PAGE + 1, 1 << 20])
def test_what_is_distrusted_finds_no_room_for_more(most: int) -> None:
    """What does not fit cannot be written: it would be memory that the agent has taken, and nobody could be blamed for."""
    done = distrusted("echo begun; timeout 2 yes", most)
    assert (done.code, len(done.out), done.out[:8]) == (1, most, "begun\ny\n")
    assert distrusted(f"head -c {most} /dev/zero | tr '\\0' x", most).out == "x" * most


@pytest.mark.parametrize("way", [">", ">>", "<>"])
def test_the_file_cannot_be_opened_anew_to_be_made_larger(way: str) -> None:
    done = distrusted(f"echo first; timeout 2 yes {way} /dev/stdout; echo last", 1000)
    assert len(done.out) <= 1000


def test_the_same_holds_where_the_caller_waits() -> None:
    agent = system.Identity("claude", AGENT_UID)
    done = system.run(["sh", "-c", "timeout 5 yes"], identity=agent, check=False)
    assert (done.code, len(done.out)) == (1, system.MAX_AGENT_OUTPUT)
    done = system.run(["sh", "-c", "setsid sleep 60 & echo $!"])
    os.kill(int(done.out), signal.SIGKILL)
    assert done.code == 0
    with pytest.raises(system.SystemFailure, match="not done within"):
        system.run(["sh", "-c", "setsid sleep 5 & exec sleep 60"], timeout=0.2)
    assert system.run(["cat"], input="told\n").out == "told\n"


def test_what_it_is_told_arrives_and_failures_are_named() -> None:
    assert asyncio.run(system.run_async(["cat"], input="told\n")).out == "told\n"
    assert asyncio.run(system.run_async(["cat"])).out == ""
    with pytest.raises(system.SystemFailure, match="cannot run sh: why"):
        asyncio.run(system.run_async(["sh", "-c", "echo why >&2; exit 3"]))
    with pytest.raises(system.SystemFailure, match="not done within"):
        asyncio.run(system.run_async(["sleep", "60"], timeout=0.1))
