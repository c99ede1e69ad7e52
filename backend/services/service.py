"""A process that is kept running: started, waited for until it answers, started again with back-off when it ends."""

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
    """Seconds to wait before starting a service again: 0.2 s at first, doubled each time, 15 s at most."""
    return float(min(15.0, 0.2 * 2 ** min(restarts, 10)))


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """What a service writes, line by line until it ends; empty lines and such as no service of ours writes are left out."""
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
    """Counts between two looks: at most `most` different keys, and how many did not fit."""

    MAX = 256

    def __init__(self, most: int = MAX) -> None:
        self._most = most
        self._counts: dict[Key, int] = {}
        self._rest = 0

    def add(self, key: Key) -> None:
        if key in self._counts or len(self._counts) < self._most:
            self._counts[key] = self._counts.get(key, 0) + 1
        else:
            self._rest += 1

    def take(self) -> tuple[dict[Key, int], int]:
        """The counts since the last time, and the rest."""
        taken = self._counts, self._rest
        self._counts, self._rest = {}, 0
        return taken


class Service:
    """One process that is kept running from `start` until `stop`."""

    STEADY_SECONDS = 60.0  # after so long without a fall the count for back-off begins anew
    LAST_WORDS_SECONDS = 0.0  # between a process's end and what it says of it

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
        """Says the service's state, where it is a new one."""
        if state is self.state and not detail:
            return
        self.state = state
        self._emit(ServiceChanged(self.name, state, self.pid, self.restarts, detail))

    async def start(self) -> None:
        """Starts the service and returns when it answers. Raises SystemFailure; nothing is left running then."""
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
        """Waits for the first answer, or for the process to end before it."""
        assert self._process is not None
        ready = asyncio.ensure_future(self._ready())
        ended = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done() and self.LAST_WORDS_SECONDS:
                await asyncio.wait((ready,), timeout=self.LAST_WORDS_SECONDS)
            if not ready.done():
                raise SystemFailure(f"cannot start {self.name}: it ended with code {self._process.returncode}")
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
            self.changed(ServiceState.DOWN, f"ended with code {code}")
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


class Word(Enum):
    """What a line of a service's means for its start."""

    READY = "ready"
    NEVER = "never"
    LAST = "last"  # the reason, where it ends before it is ready
    NOTHING = "nothing"


class Announced(Service):
    """A service that says on its standard error when it is ready, or why it never will be.

    `spawn` gives it a pipe for that; `heard` is called with each line, and once the start is over it is what else it does.
    """

    LAST_WORDS_SECONDS = 2.0

    def __init__(
        self,
        name: str,
        spawn: Callable[[], Coroutine[Any, Any, asyncio.subprocess.Process]],
        heard: Callable[[str], Word],
        emit: Callable[[Event], None],
    ) -> None:
        super().__init__(name, self._spawn_and_read, self._announced, emit)
        self._spawn_it, self._heard = spawn, heard
        self._start: asyncio.Future[None] | None = None
        self._readers: set[asyncio.Task[None]] = set()

    @property
    def starts(self) -> bool:
        """Whether it has yet to say that it is ready."""
        return self._start is not None and not self._start.done()

    async def stop(self) -> None:
        await super().stop()
        for reader in self._readers:  # a process of its own may hold the pipe for longer
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _spawn_and_read(self) -> asyncio.subprocess.Process:
        process = await self._spawn_it()
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
        last = "it ended without a word"
        async for line in lines(output):
            word = self._heard(line)
            if start.done():
                continue
            if word is Word.READY:
                start.set_result(None)
            elif word is Word.NEVER:
                start.set_exception(SystemFailure(f"cannot start {self.name}: {line[:200]}"))
            elif word is Word.LAST:
                last = line
        if not start.done():
            start.set_exception(SystemFailure(f"cannot start {self.name}: {last[:200]}"))
