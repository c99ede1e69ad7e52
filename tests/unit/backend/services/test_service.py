"""Services that announce when they are ready, or exit before that, even if the exit is noticed before the last output."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from backend.services.service import Announced, StartSignal
from backend.system import SystemFailure


class Process:
    """A process that is running or has ended, with its output."""

    pid, returncode = 0, None

    def __init__(self, lines: Sequence[str], ended: bool) -> None:
        self.stderr = asyncio.StreamReader()
        self._ended = ended
        self._lines = lines

    async def wait(self) -> int:
        """Returns before the output can be read."""
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

    service = Announced("thing", spawn, lambda line: StartSignal(line.partition(":")[0]), lambda _: None)
    service._process = await service._spawn_and_read()
    return service, process


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), "it exited without an error message"),
        (("reason: one", "reason: two", "none: three"), "reason: two"),
        (("reason: one", "failed: in use", "ready"), "failed: in use"),
    ],
)
async def test_the_error_names_the_reason_for_a_failed_start(lines: tuple[str, ...], reason: str) -> None:
    service, _ = await starting(*lines, ended=True)
    with pytest.raises(SystemFailure, match=f"^cannot start thing: {reason}$"):
        await service._until_ready()
    assert not service.starting


async def test_a_service_is_ready_when_it_announces_it() -> None:
    service, process = await starting("reason: one", "ready", "failed: later", ended=False)
    assert service.starting
    process._write()
    await service._until_ready()
    assert not service.starting
