"""A service that says itself when it is ready: whatever it says, and in whatever order the news of its end comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from backend.services.service import Announced, Word
from backend.system import SystemFailure


class Process:
    """One that has ended, or has not, and what it has written."""

    pid, returncode = 0, None

    def __init__(self, lines: Sequence[str], ended: bool) -> None:
        self.stderr = asyncio.StreamReader()
        self._ended = ended
        self._lines = lines

    async def wait(self) -> int:
        """Its end is known before anything is read of what it wrote."""
        if not self._ended:
            await asyncio.Event().wait()
        asyncio.get_running_loop().call_later(0.01, self._write)
        return 1

    def _write(self) -> None:
        self.stderr.feed_data("".join(f"{line}\n" for line in self._lines).encode())
        self.stderr.feed_eof()


async def starting(*lines: str, ended: bool) -> tuple[Announced, Process]:
    process = Process(lines, ended)

    async def spawn() -> asyncio.subprocess.Process:
        return cast(asyncio.subprocess.Process, process)

    service = Announced("thing", spawn, lambda line: Word(line.partition(":")[0]), lambda _: None)
    service._process = await service._spawn_and_read()
    return service, process


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ((), "it ended without a word"),
        (("last: one", "last: two", "nothing: three"), "last: two"),
        (("last: one", "never: in use", "ready"), "never: in use"),
    ],
)
async def test_why_it_never_will_be(lines: tuple[str, ...], why: str) -> None:
    service, _ = await starting(*lines, ended=True)
    with pytest.raises(SystemFailure, match=f"^cannot start thing: {why}$"):
        await service._until_ready()
    assert not service.starts


async def test_it_is_ready_when_it_says_so() -> None:
    service, process = await starting("last: one", "ready", "never: later", ended=False)
    assert service.starts
    process._write()
    await service._until_ready()
    assert not service.starts
