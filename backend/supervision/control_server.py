"""The control socket. Only root may ask: its mode is 0600, and the kernel names the client's uid (SO_PEERCRED, unix(7))."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

from backend.contract import control
from backend.contract.control import Reply
from backend.supervision.control import Control, answer

MAX_LINE = 64 << 10
CLIENT = struct.Struct("3i")  # struct ucred (unix(7)): pid, uid, gid


class ControlServer:
    """Serves `answer` on the control socket."""

    def __init__(self, path: Path, target: Control) -> None:
        self._path, self._target = path, target
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_LINE)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer: socket.socket = writer.get_extra_info("socket")
            _, uid, _ = CLIENT.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CLIENT.size))
            while line := (await reader.readline()).decode(errors="replace"):
                if uid != 0:
                    reply = Reply(False, "only root may ask for this", "Ask the operator of the sandbox.")
                else:
                    try:
                        reply = await answer(control.decode_request(line), self._target)
                    except ValueError as error:
                        reply = Reply(False, str(error))
                writer.write(control.encode_reply(reply).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # the client has gone, or sent a line that is too long
        finally:
            writer.close()
