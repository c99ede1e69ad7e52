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
from backend.services.service import Announced, Word
from backend.system import EXPORTER
from network.firewall.ruleset import Listener

BACKLOG = 16
SERVING = "serving"  # what it says when it does


class Exporter:
    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._paths, self._emit = paths, emit
        self.service = Announced("metrics", self._spawn, self._heard, emit)
        self._socket: socket.socket | None = None

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
        return await system.spawn(
            [str(self._paths.codetainer), "metrics", "--serve", str(descriptor)], identity=EXPORTER,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, pass_fds=(descriptor,),
        )  # fmt: skip

    def _heard(self, line: str) -> Word:
        if line == SERVING:
            return Word.READY
        if not self.service.starts:
            self._emit(Noted("warning", f"metrics: {line[:300]}"))
        return Word.LAST

    async def stop(self) -> None:
        await self.service.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
