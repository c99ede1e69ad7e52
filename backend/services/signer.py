"""The process that holds the key of a learning run's CA and signs certificates for the names that the run opens.

Programs read the CAs that they trust when they start, so one CA is trusted from boot, instead of one for each name. The key
exists only in that process (backend/services/certificates.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from backend import system
from backend.contract.paths import Paths
from backend.system import SystemFailure

if TYPE_CHECKING:
    from backend.services.certificates import Made, Wanted

ANSWER_SECONDS = 20.0
MAX_ANSWER = 1 << 24  # bytes


class Signer:
    """Starts the process when it is first needed, and again if it has ended: its CA is then a new one."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._process: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()

    async def sign(self, wanted: Wanted) -> Made:
        """Returns certificates for names, and the CA. Raises SystemFailure."""
        async with self._asking:
            try:
                return await self._sign(wanted)
            except (OSError, ValueError, TimeoutError) as error:
                await self.end()
                raise SystemFailure(f"cannot sign certificates for the learning run: {error or 'no answer in time'}") from error

    async def _sign(self, wanted: Wanted) -> Made:
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            argv = [str(self._paths.python), "-I", "-m", "backend", "certificates", "--sign"]
            self._process = await system.spawn(argv, stdin=pipe, stdout=pipe)
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(wanted).encode() + b"\n")
        answer = bytearray()
        async with asyncio.timeout(ANSWER_SECONDS):
            await process.stdin.drain()
            while not answer.endswith(b"\n"):
                more = await process.stdout.read(1 << 16)
                if not more or len(answer) > MAX_ANSWER:
                    raise ValueError("the process has ended, or answered too much")
                answer += more
        made: Made = json.loads(answer)
        return made

    async def end(self) -> None:
        """Ends the process, and with it the CA's key."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._process = None
