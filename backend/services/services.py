"""CoreDNS, the guard, the gate, sshd, and the channel between the guard and the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from backend import system
from backend.contract import events
from backend.contract.events import Event, Noted, Reason, Refused, ServiceState, Via
from backend.contract.paths import Paths
from backend.guard import channel
from backend.guard.channel import Configure, Configured, Do, Done, Happened
from backend.services import asker
from backend.services.exporter import Exporter
from backend.services.gate import Gate
from backend.services.service import Service, Tally, lines
from backend.services.sshd import Sshd
from backend.system import COREDNS, GUARD, SystemFailure
from network import corefile
from network.allowlist import Allowlist
from network.ruleset import COREDNS_ADDRESS, GUARD_ADDRESS

ANSWER_SECONDS = 10.0
REST = "other names"


class Services:
    """CoreDNS, the gate, sshd, the guard, and the channel to it."""

    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._paths, self._emit = paths, emit
        self.coredns = Service("coredns", self._spawn_coredns, self._coredns_ready, emit)
        self.guard = Service("guard", self._spawn_guard, self._guard_ready, emit)
        self.gate = Gate(paths, emit)
        self.sshd = Sshd(paths, emit)
        self.exporter = Exporter(paths, emit)
        self.allowlist = Allowlist()
        self._paused = False
        self._configuration: Configure | None = None
        self._generation = itertools.count(1)
        self._ids = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[tuple[str, int], asyncio.Future[Configured | Done]] = {}
        self._names: Tally[tuple[str, str]] = Tally()
        self._askers: dict[str, str] = {}  # the program that asked for a name, where CoreDNS held its answer: few
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloaded = asyncio.Event()

    # --- CoreDNS ---

    def write_corefile(self, allowlist: Allowlist) -> None:
        self.allowlist = allowlist
        system.write(self._paths.corefile, corefile.render(allowlist))

    async def change_names(self, allowlist: Allowlist) -> None:
        """Serves another list without a gap; returns when the new one is in force. Raises SystemFailure."""
        self.write_corefile(allowlist)
        if not self.coredns.pid:
            return  # it is being started again, and will read this file
        self._reloaded.clear()
        self.coredns.signal(signal.SIGUSR1)
        try:
            await asyncio.wait_for(self._reloaded.wait(), ANSWER_SECONDS)
        except TimeoutError as error:
            raise SystemFailure("cannot change the names: CoreDNS did not take its new configuration") from error

    async def _spawn_coredns(self) -> asyncio.subprocess.Process:
        process = await system.spawn(
            [str(self._paths.coredns), "-conf", str(self._paths.corefile)], identity=COREDNS,
            environment={"PATH": system.SYSTEM_PATH, "GOMAXPROCS": "2"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        self._begin(self._read_coredns(process.stdout))
        return process

    async def _read_coredns(self, output: asyncio.StreamReader) -> None:
        """CoreDNS's output: refused names are counted, who waits for an answer is found out, errors of its own are said."""
        async for line in lines(output):
            if line.endswith("Reloading complete"):
                self._reloaded.set()
            refused = corefile.parse_log_line(line)
            if refused is None:
                if "[ERROR] plugin/errors" not in line and (
                    "[ERROR]" in line or "[FATAL]" in line or "error" in line[:40].lower()
                ):
                    self._emit(Noted("warning", f"coredns: {line[:300]}"))
            elif self.allowlist.match(refused.name) is None:  # it may have been listed since
                self._names.add((refused.name, refused.type))
                if refused.port and (program := asker.program(refused.port)):
                    self._askers[refused.name] = program

    def take_refused_names(self) -> list[Refused]:
        """Names that were asked for and are not on the list, since the last time."""
        names, rest = self._names.take()
        askers, self._askers = self._askers, {}
        found = [
            Refused(
                Via.DNS,
                Reason.NOT_LISTED,
                count,
                "dns",
                name,
                program=askers.get(name, ""),
                detail="" if kind in ("A", "AAAA") else kind,
            )
            for (name, kind), count in names.items()
        ]
        return [*found, *([Refused(Via.DNS, Reason.NOT_LISTED, rest, "dns", REST)] if rest else [])]

    async def _coredns_ready(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
                if (await http_get(corefile.READY_PORT, "/ready"))[0] == 200:
                    return
            await asyncio.sleep(0.02)

    # --- the guard ---

    async def _spawn_guard(self) -> asyncio.subprocess.Process:
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
                [str(self._paths.python), "-I", "-m", "backend", "guard", *map(str, descriptors)],
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
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=channel.MESSAGE_BYTES)
        self._begin(self._listen(reader, self._writer))
        assert process.stderr is not None
        self._begin(self._read_guard_errors(process.stderr))
        return process

    async def _read_guard_errors(self, output: asyncio.StreamReader) -> None:
        async for line in lines(output):
            self._emit(Noted("error", f"guard: {line[:300]}"))

    async def _guard_ready(self) -> None:
        """A guard is ready when it holds the latest list; before there is one, when it answers."""
        if self._configuration is not None:
            await self.configure(self._configuration)
        else:
            await self.do("explain", "127.0.0.1")

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                message = channel.decode(line)
                if isinstance(message, Happened):
                    stamped = events.decode(message.line)
                    self._emit(stamped.event)
                elif isinstance(message, Configured):
                    self._settle(("configure", message.generation), message)
                elif isinstance(message, Done):
                    self._settle(("do", message.id), message)
        except (OSError, ValueError) as error:
            self._emit(Noted("error", f"cannot understand the guard: {error}"))
        finally:
            writer.close()
            if self._writer is writer:
                self._writer = None
                for waiting in self._waiting.values():
                    if not waiting.done():
                        waiting.set_exception(SystemFailure("cannot ask the guard: it has ended"))
                self._waiting.clear()

    def _settle(self, key: tuple[str, int], message: Configured | Done) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def _ask(self, key: tuple[str, int], message: Configure | Do, seconds: float) -> Configured | Done:
        if self._writer is None:
            raise SystemFailure("cannot ask the guard: it is not running")
        waiting: asyncio.Future[Configured | Done] = asyncio.get_running_loop().create_future()
        self._waiting[key] = waiting
        self._writer.write(channel.encode(message))
        try:
            return await asyncio.wait_for(waiting, seconds)
        except TimeoutError as error:
            raise SystemFailure(f"cannot ask the guard: no answer within {seconds:g} s") from error
        finally:
            self._waiting.pop(key, None)

    async def configure(self, configuration: Configure) -> None:
        """Gives the guard its list; returns when it is in force. Raises SystemFailure."""
        generation = next(self._generation)
        self._configuration = Configure(
            generation, configuration.entries, configuration.upstreams, configuration.grace_seconds, configuration.keep_seconds,
            configuration.refresh_seconds, configuration.answer_addresses, configuration.gate, self._paused,
        )  # fmt: skip
        answer = await self._ask(("configure", generation), self._configuration, ANSWER_SECONDS)
        if isinstance(answer, Configured) and answer.error:
            raise SystemFailure(answer.error)

    async def do(self, verb: str, argument: str = "", seconds: float = ANSWER_SECONDS) -> Done:
        """Asks the guard to do something (see channel.Do). Raises SystemFailure where it does not answer."""
        number = next(self._ids)
        answer = await self._ask(("do", number), Do(number, verb, argument), seconds)
        assert isinstance(answer, Done)
        return answer

    async def pause(self) -> None:
        """Closes every address and cuts all flows, until `resume`: a guard that is started meanwhile opens none either.

        Raises SystemFailure where the guard is away; it does so when it comes back.
        """
        self._paused = True
        if self.guard.state is not ServiceState.STOPPED:  # where it was stopped the rules are closed
            await self._demand("empty")

    async def resume(self) -> None:
        """Opens the list again. Raises SystemFailure; it stays closed then."""
        self._paused = False
        try:
            if self.guard.pid:
                await self._demand("fill", seconds=60.0)
        except SystemFailure:
            self._paused = True
            raise

    async def _demand(self, verb: str, seconds: float = ANSWER_SECONDS) -> None:
        done = await self.do(verb, seconds=seconds)
        if not done.ok:
            raise SystemFailure(done.text)

    # --- all ---

    @property
    def kept(self) -> tuple[Service, ...]:
        """The services that the walls rest on: the gate only where one was started."""
        gate = self.gate.service
        return (self.coredns, self.guard, *((gate,) if gate.state is not ServiceState.STOPPED else ()))

    async def stop(self) -> None:
        """Ends what the agent needs. sshd and the metrics stay: they are the operator's."""
        await asyncio.gather(self.coredns.stop(), self.guard.stop(), self.gate.service.stop())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def http_get(port: int, path: str, host: str = COREDNS_ADDRESS, seconds: float = 2.0) -> tuple[int, str]:
    """Status and body of a GET to one of CoreDNS's own ports. Raises OSError, TimeoutError or ValueError."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answer = (await reader.read(4 << 20)).decode(errors="replace")
            while chunk := await reader.read(1 << 20):
                answer += chunk.decode(errors="replace")
        finally:
            writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    words = head.split(" ", 2)
    return int(words[1]) if len(words) > 1 else 0, body
