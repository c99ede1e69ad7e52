"""The process that serves /metrics, as the supervisor keeps it: a front end over the journal, of a uid of its own.

It needs nothing but to read what everybody may read, so it has nothing else: no capability, no file of its own. Its listening
socket is made here and stays open here: nobody else can take its port, also while it is started again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from backend import system
from backend.contract.events import Event, Noted
from backend.contract.paths import Paths
from backend.services.service import Service, lines
from backend.system import EXPORTER, SystemFailure
from network.ruleset import Listener

BACKLOG = 16
SERVING = "serving"  # what it says when it does


class Exporter:
    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._paths, self._emit = paths, emit
        self.service = Service("metrics", self._spawn, self._ready, emit)
        self._socket: socket.socket | None = None
        self._serving: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, where: Listener) -> None:
        """Starts it; returns when it serves. Raises OSError and SystemFailure."""
        if self._socket is None:
            sock = system.socket_of(EXPORTER, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((where.address, where.port))
                sock.listen(BACKLOG)
            except OSError:
                sock.close()
                raise
            self._socket = sock
        await self.service.start()

    async def _spawn(self) -> asyncio.subprocess.Process:
        assert self._socket is not None
        descriptor = self._socket.fileno()
        self._serving = asyncio.get_running_loop().create_future()
        process = await system.spawn(
            [str(self._paths.codetainer), "metrics", "--serve", str(descriptor)], identity=EXPORTER,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, pass_fds=(descriptor,),
        )  # fmt: skip
        assert process.stderr is not None
        task = asyncio.create_task(self._read(process.stderr, self._serving))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return process

    async def _ready(self) -> None:
        assert self._serving is not None
        await self._serving

    async def _read(self, output: asyncio.StreamReader, serving: asyncio.Future[None]) -> None:
        last = "it ended without a word"
        async for line in lines(output):
            if line == SERVING and not serving.done():
                serving.set_result(None)
                continue
            last = line
            if serving.done():
                self._emit(Noted("warning", f"metrics: {line[:300]}"))
        if not serving.done():
            serving.set_exception(SystemFailure(f"cannot serve metrics: {last[:200]}"))

    async def stop(self) -> None:
        await self.service.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
