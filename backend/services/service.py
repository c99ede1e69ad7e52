"""A supervised process: started, awaited until it answers, restarted with back-off when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from enum import Enum
from typing import Any, Generic, TypeVar

from backend import commands, system
from backend.contract.events import Event, ServiceChanged, ServiceState
from backend.system import SystemFailure

Key = TypeVar("Key")


def pause_before(restarts: int) -> float:
    """Seconds to wait before the next restart: 0.2 s at first, doubled each time, at most 15 s."""
    return float(min(15.0, 0.2 * 2 ** min(restarts, 10)))


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yields the output of a service, line by line until it ends. Skips empty and over-long lines."""
    while True:
        try:
            read = await stream.readline()
        except ValueError:
            continue  # longer than the reader's limit
        if not read:
            return
        if text := read.decode(errors="replace").rstrip():
            commands.heard(stream, text)
            yield text


class Tally(Generic[Key]):
    """Counts keys until `take`: up to `limit` different ones, and the rest as one number."""

    MAX = 256

    def __init__(self, limit: int = MAX) -> None:
        self._limit = limit
        self._counts: dict[Key, int] = {}
        self._rest = 0

    def add(self, key: Key) -> None:
        if key in self._counts or len(self._counts) < self._limit:
            self._counts[key] = self._counts.get(key, 0) + 1
        else:
            self._rest += 1

    def take(self) -> tuple[dict[Key, int], int]:
        """Returns the counts since the last call, and the rest."""
        taken = self._counts, self._rest
        self._counts, self._rest = {}, 0
        return taken


class Service:
    """A process that is kept running from `start` until `stop`."""

    STEADY_SECONDS = 60.0  # uptime after which the back-off is reset
    LAST_OUTPUT_SECONDS = 0.0  # wait after a process's end for its last output

    def __init__(
        self,
        name: str,
        spawn: Callable[[], Coroutine[Any, Any, asyncio.subprocess.Process]],
        ready: Callable[[], Coroutine[Any, Any, None]],
        emit: Callable[[Event], None],
    ) -> None:
        self.name = name
        self._spawn, self._ready, self._emit = spawn, ready, emit
        self._keeper: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self.state = ServiceState.STOPPED

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    def changed(self, state: ServiceState, detail: str = "") -> None:
        """Reports the service's state if it is new or has a detail."""
        if state is self.state and not detail:
            return
        self.state = state
        self._emit(ServiceChanged(self.name, state, self.pid, self.restarts, detail))

    async def start(self) -> None:
        """Starts the service; returns when it answers. Raises SystemFailure, after killing the process."""
        if self._keeper is not None:
            await self.stop()
        self.changed(ServiceState.STARTING)
        try:
            self._process = await self._spawn()
            await self._until_ready()
        except BaseException:
            self._kill()
            self.changed(ServiceState.DOWN)
            raise
        self.changed(ServiceState.UP)
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        if self._process is not None and self._process.returncode is None:
            system.kill_group(self._process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 2.0)
            self._kill()
        self.changed(ServiceState.STOPPED)

    def signal(self, number: int) -> None:
        if self.pid:
            os.kill(self.pid, number)

    async def _until_ready(self) -> None:
        """Waits until the service answers. Raises SystemFailure if the process ends before that."""
        assert self._process is not None
        ready = asyncio.ensure_future(self._ready())
        ended = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done() and self.LAST_OUTPUT_SECONDS:
                await asyncio.wait((ready,), timeout=self.LAST_OUTPUT_SECONDS)
            if not ready.done():
                raise SystemFailure(f"cannot start {self.name}: it exited with code {self._process.returncode}")
            ready.result()
        finally:
            ready.cancel()
            ended.cancel()

    async def _keep(self) -> None:
        up_since = time.monotonic()
        while True:
            assert self._process is not None
            code = await self._process.wait()
            self._kill()
            if time.monotonic() - up_since > self.STEADY_SECONDS:
                self.restarts = 0
            self.changed(ServiceState.DOWN, f"exited with code {code}")
            while True:
                await asyncio.sleep(pause_before(self.restarts))
                self.restarts += 1
                self.changed(ServiceState.STARTING)
                try:
                    self._process = await self._spawn()
                    await self._until_ready()
                except (SystemFailure, OSError) as error:
                    self._kill()
                    self.changed(ServiceState.DOWN, str(error))
                    continue
                break
            up_since = time.monotonic()
            self.changed(ServiceState.UP)

    def _kill(self) -> None:
        if self._process is not None:
            system.kill_group(self._process)


class StartSignal(Enum):
    """The meaning of an output line for the start of a service."""

    READY = "ready"
    FAILED = "failed"
    REASON = "reason"  # the error message if the service ends before it is ready
    NONE = "none"


class Announced(Service):
    """A service that reports on standard error when it is ready, or why it cannot start.

    `spawn` must connect standard error to a pipe. `interpret` gets each line, also after the start.
    """

    LAST_OUTPUT_SECONDS = 2.0

    def __init__(
        self,
        name: str,
        spawn: Callable[[], Coroutine[Any, Any, asyncio.subprocess.Process]],
        interpret: Callable[[str], StartSignal],
        emit: Callable[[Event], None],
    ) -> None:
        super().__init__(name, self._spawn_and_read, self._announced, emit)
        self._spawn_process, self._interpret = spawn, interpret
        self._start: asyncio.Future[None] | None = None
        self._readers: set[asyncio.Task[None]] = set()

    @property
    def starting(self) -> bool:
        """True until the service has reported that it is ready or has failed."""
        return self._start is not None and not self._start.done()

    async def stop(self) -> None:
        await super().stop()
        for reader in self._readers:  # a child of the service may keep the pipe open
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _spawn_and_read(self) -> asyncio.subprocess.Process:
        process = await self._spawn_process()
        assert process.stderr is not None
        self._start = asyncio.get_running_loop().create_future()
        reader = asyncio.create_task(self._read(process.stderr, self._start))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        return process

    async def _announced(self) -> None:
        assert self._start is not None
        await self._start

    async def _read(self, output: asyncio.StreamReader, start: asyncio.Future[None]) -> None:
        reason = "it exited without an error message"
        async for line in lines(output):
            meaning = self._interpret(line)
            if start.done():
                continue
            if meaning is StartSignal.READY:
                start.set_result(None)
            elif meaning is StartSignal.FAILED:
                start.set_exception(SystemFailure(f"cannot start {self.name}: {line[:200]}"))
            elif meaning is StartSignal.REASON:
                reason = line
        if not start.done():
            start.set_exception(SystemFailure(f"cannot start {self.name}: {reason[:200]}"))
