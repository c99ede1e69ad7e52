"""The one door to processes, with real ones: what they say, who holds what they say it into, how they end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from backend import system

pytestmark = pytest.mark.netns


def test_who_holds_the_output_holds_nobody_up() -> None:
    """A process in a session of its own keeps what it was given open: the end of the one that was asked for is what counts."""
    done = asyncio.run(system.run_async(["sh", "-c", "setsid sleep 60 & echo $!"], timeout=30.0))
    os.kill(int(done.out), signal.SIGKILL)
    assert done.code == 0


def test_what_is_said_without_end_is_cut() -> None:
    done = asyncio.run(system.run_async(["sh", "-c", "head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2"], most=1000))
    assert (len(done.out), len(done.err)) == (1000, 1000)


def test_so_it_is_with_what_is_distrusted() -> None:
    done = asyncio.run(
        system.run_distrusted(
            ["sh", "-c", "setsid sleep 60 & echo $!; head -c 100000 /dev/zero"],
            what="it", identity=system.ROOT, environment=system.BASE_ENVIRONMENT, seconds=30.0, most=1000,
        )
    )  # fmt: skip
    os.kill(int(done.out.split("\n")[0]), signal.SIGKILL)
    assert (done.code, len(done.out)) == (0, 1000)


def test_what_it_is_told_arrives_and_failures_are_named() -> None:
    assert asyncio.run(system.run_async(["cat"], input="told\n")).out == "told\n"
    assert asyncio.run(system.run_async(["cat"])).out == ""
    with pytest.raises(system.SystemFailure, match="cannot run sh: why"):
        asyncio.run(system.run_async(["sh", "-c", "echo why >&2; exit 3"]))
    with pytest.raises(system.SystemFailure, match="not done within"):
        asyncio.run(system.run_async(["sleep", "60"], timeout=0.1))
