"""Sends notifications: the supervisor's part, which decides what is sent when, and starts a sender for each delivery.

A sender (sender.py) has a uid of its own, which may query the resolvers and connect to the addresses in one set of the
firewall. It reports the addresses of its service, and only this module, after checking them, adds them to the set. The set's
elements expire by themselves. Neither the service's name nor its addresses are opened for any other process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from backend import system
from backend.contract.events import Event, Noted, NotificationsMeasured, Stamped
from backend.contract.immutable import dataclass
from backend.contract.paths import Paths
from backend.contract.state import State
from backend.notify import firewall, messages, protocol, summary
from backend.notify.folding import Folding
from backend.notify.lines import agents_text
from backend.notify.messages import Context, Kind, Message, TakeBack
from backend.notify.outbox import Outbox
from backend.notify.protocol import Outcome
from backend.notify.rendering import Notification, notification
from backend.notify.summary import Schedule
from backend.settings.values import ReportTime
from backend.system import NOTIFIER, SystemFailure
from network.destinations import Destination

RESOLVE_SECONDS = 30.0  # with the start of the sender, on a busy machine
SECONDS = 90.0  # for the whole delivery
LAST_SECONDS, STOP_SECONDS = 2.0, 1.0
NO_REPORT = ReportTime()


@dataclass(frozen=True, slots=True)
class Sources:
    """What a notifier learns from the rest of the supervisor.

    `upstreams` are the resolvers to query. `question` reads the agent's screen; it raises SystemFailure. `head` is the hash of
    the journal's last line, "" if there is none. `redact` removes secrets from a text. `wall` is the clock of the daily report.
    """

    upstreams: Callable[[], Sequence[str]]
    question: Callable[[], Awaitable[tuple[str, ...]]]
    redact: Callable[[str], str]
    head: Callable[[], str] = lambda: ""
    wall: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Tested:
    """The result of a message that was sent at once, for one address."""

    address: str
    outcome: Outcome


class Notifier:
    """The notifications of one sandbox."""

    def __init__(
        self,
        destinations: Sequence[Destination],
        paths: Paths,
        sources: Sources,
        emit: Callable[[Event], None],
        *,
        name: str = "",
        with_text: bool = False,
        report: ReportTime = NO_REPORT,
    ) -> None:
        self.destinations = tuple(destinations)
        self._paths, self._sources, self._emit, self._name, self._with_text = paths, sources, emit, name, with_text
        self._outboxes = tuple(Outbox() for _ in self.destinations)
        self._locks = tuple(asyncio.Lock() for _ in self.destinations)
        self._folding = Folding(time.monotonic())
        self._report = report
        self._schedule = Schedule(report.at)
        self._reported_at = 0.0  # until when the last report tells, in seconds since the epoch
        self._state = State()
        self._error: Exception | None = None
        self._wake = asyncio.Event()
        self._measured: NotificationsMeasured | None = None

    def hear(self, stamped: Stamped, before: State, after: State) -> None:
        """Accepts an event of the journal. An error is raised later, by `run`, because it must not stop the journal."""
        self._state = after
        if not messages.is_relevant(stamped.event):
            return
        try:
            news = messages.news(stamped.event, Context(before, after, stamped.at, self._with_text))
            if news is not None:
                self._folding.add(news, time.monotonic())
                if news.kind is Kind.ENDED and not after.stopping:
                    self._add_report()
        except Exception as error:
            self._error = error
        self._wake.set()

    def prepare(self) -> None:
        """Copies the CA bundle for the senders, before the gate's own authority is added to it.

        Reports an error, and goes on: without the copy, no certificate is trusted.
        """
        try:
            system.write(self._paths.notifier_authorities, self._paths.ca_bundle.read_text())
        except (OSError, SystemFailure) as error:
            self._emit(Noted("error", f"cannot prepare notifications: {error}"))
        self._measure()

    async def run(self) -> None:
        """Sends what is due, until it is cancelled."""
        while True:
            self._wake.clear()
            if (error := self._error) is not None:
                self._error = None
                raise error
            if self._schedule.due(self._sources.wall()):
                self._add_report()
            await self._put(self._folding.due(time.monotonic()))
            self._measure()
            await self._deliver_due()
            scheduled = self._schedule.wait(self._sources.wall())
            waits = (scheduled, self._folding.wait(time.monotonic()), *(box.wait(time.monotonic()) for box in self._outboxes))
            soonest = min((wait for wait in waits if wait is not None), default=None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(soonest):  # not wait_for, which before Python 3.12 may ignore a cancellation
                    await self._wake.wait()

    async def last(self, grace: float) -> None:
        """Sends everything that waits, before the sandbox ends. Raises nothing.

        `grace` is the rest of the grace period, in seconds. A last part of it is for stopping the services. The last save
        leaves enough for LAST_SECONDS (Keeper).
        """
        self._add_report()
        seconds = min(SECONDS, max(LAST_SECONDS, grace - STOP_SECONDS))
        await self._put(self._folding.rest(time.monotonic()))
        tries = (self._deliver(number) for number, box in enumerate(self._outboxes) if box.waiting)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*tries, return_exceptions=True), seconds)
        self._measure()

    async def send_now(self, message: Message) -> tuple[Tested, ...]:
        """Sends a message that the operator asked for to every address, whatever waits."""

        async def one(number: int) -> Tested:
            async with self._locks[number]:
                outcome = await self._send(self.destinations[number], self._rendered([message]))
                box = self._outboxes[number]
                box.tried((), outcome, time.monotonic(), time.time())
                return Tested(self.address(number), outcome)

        results = await asyncio.gather(*map(one, range(len(self.destinations))))
        self._measure()
        self._wake.set()  # what waits can be delivered now
        return tuple(results)

    def _add_report(self) -> None:
        """Adds the report on the time since the last one, if the operator wants any. It takes the place of one that waits."""
        if not self._report.sent:
            return
        made = summary.message(self._state, self._reported_at, self._sources.wall(), with_text=self._with_text)
        self._folding.add(TakeBack(Kind.REPORT), time.monotonic())
        self._folding.add(made, time.monotonic())

    def address(self, number: int) -> str:
        """The name of an address, which contains no part of it: `address 1 (ntfys)`."""
        return f"address {number + 1} ({self.destinations[number].kind})"

    async def _put(self, due: Sequence[Message]) -> None:
        """Puts messages into every outbox, with the agent's question for those that have one."""
        ready = []
        for message in due:
            if message.asks:
                screen: tuple[str, ...] = ()
                with contextlib.suppress(SystemFailure):  # the session may have ended meanwhile
                    screen = agents_text(await self._sources.question())
                message = messages.with_details(message, screen)
            if message.kind is Kind.REPORT:
                self._reported_at = message.at
            ready.append(message)
        for box in self._outboxes:
            box.put(ready)

    async def _deliver_due(self) -> None:
        now = time.monotonic()
        due = (number for number, box in enumerate(self._outboxes) if box.wait(now) == 0.0)
        await asyncio.gather(*map(self._deliver, due))

    async def _deliver(self, number: int) -> None:
        """Tries to deliver all that waits for an address, as one notification."""
        async with self._locks[number]:
            box = self._outboxes[number]
            batch = tuple(box.waiting)
            if not batch:
                return
            outcome = await self._send(self.destinations[number], self._rendered(batch, box.lost))
            box.tried(batch, outcome, time.monotonic(), time.time())
        self._measure()

    def _rendered(self, batch: Iterable[Message], lost: int = 0) -> Notification:
        return notification(tuple(batch), self._name, self._sources.redact, head=self._sources.head(), lost=lost)

    async def _send(self, to: Destination, what: Notification) -> Outcome:
        """Runs a sender."""
        try:
            process = await system.spawn(
                [str(self._paths.python), "-I", "-m", "backend", "send-notification"],
                identity=NOTIFIER,
                environment=self._environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except SystemFailure:
            return Outcome.NOT_STARTED
        try:
            return await asyncio.wait_for(self._attend(process, to, what), SECONDS)
        except TimeoutError:
            return Outcome.TOO_LONG
        except OSError:  # the sender has ended early, or was killed
            return Outcome.FAILED
        finally:
            system.kill_group(process)

    async def _attend(self, process: asyncio.subprocess.Process, to: Destination, what: Notification) -> Outcome:
        """Gives a sender its order, opens the firewall for the addresses that it reports, and waits for its end."""
        assert process.stdin is not None
        assert process.stdout is not None
        order = protocol.order(
            to, self._sources.upstreams(), title=what.title, body=what.body, type=what.type, priority=what.priority
        )
        process.stdin.write(protocol.encode_order(order))
        await process.stdin.drain()
        try:
            line = await asyncio.wait_for(process.stdout.readline(), RESOLVE_SECONDS)
        except TimeoutError:
            return Outcome.NO_RESOLVER
        if not line:
            return _failed(await process.wait())
        try:
            addresses = protocol.decode_addresses(line)
            if to.address and addresses != (to.address,):
                return Outcome.FIREWALL
            await firewall.open_for(addresses, to.port, int(SECONDS) + 5)
        except (ValueError, SystemFailure):
            return Outcome.FIREWALL
        process.stdin.write(protocol.GO)
        await process.stdin.drain()
        return protocol.of_exit_code(await process.wait())

    def _environment(self) -> dict[str, str]:
        """OpenSSL and the library's HTTP client read the CA bundle from variables."""
        bundle = str(self._paths.notifier_authorities)
        return {
            **system.BASE_ENVIRONMENT, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", "SSL_CERT_FILE": bundle,
            "SSL_CERT_DIR": "/nonexistent", "REQUESTS_CA_BUNDLE": bundle,
        }  # fmt: skip

    def _measure(self) -> None:
        """Reports the state of the deliveries if it has changed."""
        boxes = self._outboxes
        failing = {self.address(number): box.outcome.words for number, box in enumerate(boxes) if box.failing_since}
        measured = NotificationsMeasured(
            len(boxes),
            sum(box.delivered for box in boxes),
            round(max((box.delivered_at for box in boxes), default=0.0), 3),
            sum(len(box.waiting) for box in boxes),
            failing,
            round(min((box.failing_since for box in boxes if box.failing_since), default=0.0), 3),
            sum(box.dropped for box in boxes),
        )
        if measured != self._measured:
            self._measured = measured
            self._emit(measured)


def _failed(code: int) -> Outcome:
    """The outcome of a sender that ended before it had addresses."""
    outcome = protocol.of_exit_code(code)
    return Outcome.FAILED if outcome is Outcome.DELIVERED else outcome
