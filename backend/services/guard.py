"""Supervises the guard process and its channel."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable
from dataclasses import replace

from backend import commands, system
from backend.contract import events
from backend.contract.events import Event, Noted, ServiceState
from backend.contract.paths import Paths
from backend.guard import channel
from backend.guard.channel import Amend, Configure, Configured, Done, Found, Happened, Ping, Request
from backend.services.service import Service, lines
from backend.services.tasks import Tasks
from backend.system import GUARD, SystemFailure
from network.firewall.ruleset import GUARD_ADDRESS

ANSWER_SECONDS = 10.0


class Guard:
    """The service, and the configuration that it has or starts with."""

    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._paths, self._emit = paths, emit
        self.service = Service("guard", self._spawn, self._ready, emit)
        self.found: Callable[[str], None] | None = None  # opens a name, in a learning run
        self._configuration: Configure | None = None
        self._in_force: Configure | None = None  # in the running guard, None if that is unknown
        self._numbers = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Configured | Done]] = {}
        self._tasks = Tasks()

    async def change(self, configuration: Configure) -> None:
        """Changes the guard's configuration; returns when it is in force. Raises SystemFailure.

        A guard that was never started will start with it. If the guard is down, this raises, but the next start uses it.
        """
        self.begin_with(configuration)
        if self.service.state is not ServiceState.STOPPED:
            await self._configure(configuration)

    def begin_with(self, configuration: Configure) -> None:
        """Sets the configuration for the next start."""
        self._configuration = configuration

    async def ask(self, request: Request, seconds: float = ANSWER_SECONDS) -> Done:
        """Sends a request and returns the answer. Raises SystemFailure if there is none within `seconds`."""
        number = next(self._numbers)
        answer = await self._send(number, replace(request, id=number), seconds)
        assert isinstance(answer, Done)
        return answer

    async def _configure(self, configuration: Configure) -> None:
        """Sends the entries that differ from the configuration in force or, if that is unknown or fails, everything."""
        configuration = replace(configuration, id=next(self._numbers))
        before, self._in_force = self._in_force, None
        amendment = channel.amendment(before, configuration) if before is not None else None
        error = ""
        if amendment is not None:
            error = await self._put_in_force(replace(amendment, id=configuration.id))
        if amendment is None or error:
            error = await self._put_in_force(configuration)
        if error:
            raise SystemFailure(error)
        self._in_force = configuration

    async def _put_in_force(self, message: Configure | Amend) -> str:
        """Returns the guard's error, or "". Raises SystemFailure if it does not answer."""
        answer = await self._send(message.id, message, ANSWER_SECONDS)
        return answer.error if isinstance(answer, Configured) else ""

    async def _send(self, number: int, message: Configure | Amend | Request, seconds: float) -> Configured | Done:
        if self._writer is None:
            raise SystemFailure("cannot ask the guard: it is not running")
        waiting: asyncio.Future[Configured | Done] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        self._writer.write(channel.encode(message))
        try:
            return await asyncio.wait_for(waiting, seconds)
        except TimeoutError as error:
            raise SystemFailure(f"cannot ask the guard: no answer within {seconds:g} s") from error
        finally:
            self._waiting.pop(number, None)

    async def _spawn(self) -> asyncio.subprocess.Process:
        ours, theirs = socket.socketpair()
        datagrams = system.socket_of(GUARD, socket.SOCK_DGRAM)
        listener = system.socket_of(GUARD, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for sock in (datagrams, listener):
                sock.bind((GUARD_ADDRESS, 53))
            listener.listen(64)
            descriptors = (theirs.fileno(), datagrams.fileno(), listener.fileno())
            process = await system.spawn(
                [str(self._paths.python), "-I", "-m", "backend", "guard", *commands.option(), *map(str, descriptors)],
                identity=GUARD,
                environment={"PATH": system.SYSTEM_PATH, "LANG": "C.UTF-8", "PYTHONMALLOC": "malloc"},
                stderr=asyncio.subprocess.PIPE,
                pass_fds=descriptors,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            datagrams.close()
            listener.close()
        self._in_force = None
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=channel.MESSAGE_BYTES)
        self._tasks.begin(self._listen(reader, self._writer))
        assert process.stderr is not None
        self._tasks.begin(self._read_errors(process.stderr))
        return process

    async def _ready(self) -> None:
        """Returns when the guard has the latest configuration or, if there is none yet, answers a ping."""
        if self._configuration is not None:
            await self._configure(self._configuration)
        else:
            await self.ask(Ping())

    async def _read_errors(self, output: asyncio.StreamReader) -> None:
        async for line in lines(output):
            if not commands.relayed(line, GUARD.name):
                self._emit(Noted("error", f"guard: {line[:300]}"))

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                message = channel.decode(line)
                if isinstance(message, Happened):
                    self._emit(events.decode(message.line).event)
                elif isinstance(message, Configured | Done):
                    self._settle(message)
                elif isinstance(message, Found) and self.found is not None:
                    self.found(message.host)
        except (OSError, ValueError) as error:
            self._emit(Noted("error", f"invalid message from the guard: {error}"))
        finally:
            writer.close()
            if self._writer is writer:
                self._writer = None
                for waiting in self._waiting.values():
                    if not waiting.done():
                        waiting.set_exception(SystemFailure("cannot ask the guard: it has exited"))
                self._waiting.clear()

    def _settle(self, message: Configured | Done) -> None:
        waiting = self._waiting.pop(message.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
