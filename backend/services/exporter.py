"""Supervises the process that serves /metrics: a front end that reads the journal, with its own uid.

It reads only world-readable files, so it has no capabilities and no files of its own. The supervisor creates its listening
socket and keeps it open, so no other process can take the port during a restart.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from backend import system
from backend.contract.events import Event, Noted
from backend.contract.paths import Paths
from backend.services.service import Announced, StartSignal
from backend.system import EXPORTER
from network.firewall.ruleset import Listener

BACKLOG = 16
SERVING = "serving"  # the line with which it reports that it is ready


class Exporter:
    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._paths, self._emit = paths, emit
        self.service = Announced("metrics", self._spawn, self._interpret, emit)
        self._socket: socket.socket | None = None

    async def open(self, where: Listener) -> None:
        """Starts the exporter; returns when it serves. Raises OSError and SystemFailure."""
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

    def _interpret(self, line: str) -> StartSignal:
        if line == SERVING:
            return StartSignal.READY
        if not self.service.starting:
            self._emit(Noted("warning", f"metrics: {line[:300]}"))
        return StartSignal.REASON

    async def stop(self) -> None:
        await self.service.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
