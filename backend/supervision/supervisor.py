"""Boots the sandbox, then supervises it: restarts services, repeats the self-test, closes names whose time is up.

Length: one class, whose parts are in modules of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from backend import processes
from backend.agent import agent
from backend.agent.ending import end_agent
from backend.boot import steps
from backend.boot.runner import Result, Runner
from backend.boot.steps import closed
from backend.context import Boot
from backend.contract.events import (
    BootFinished,
    BootStarted,
    BootState,
    Event,
    LockReleased,
    Noted,
    Refused,
    ServiceState,
    SessionChanged,
    SessionMeasured,
    SessionState,
    Stopping,
)
from backend.contract.paths import Paths
from backend.contract.version import VERSION
from backend.journal import Journal
from backend.lock import Lock
from backend.policy import Policy
from backend.selftest import selftest
from backend.services.bundle import Services
from backend.session import activity, repository_settings, session
from backend.settings import Settings
from backend.settings.values import Debug, GateMode, OnFailure, Pretend
from backend.supervision import load, watch
from backend.supervision.control import Control
from backend.supervision.control_server import ControlServer
from backend.supervision.freezing import Freezing
from backend.supervision.grants import Grants
from backend.supervision.suspender import Suspender
from backend.system import SystemFailure
from backend.work.keeper import Keeper

if TYPE_CHECKING:
    from backend.notify.notifier import Notifier
    from backend.supervision.learning import Learning

NOT_STARTED = "nothing is started as the agent"
LOGIN_SECONDS = 2.0  # a login may be looking at the init lock
LAST_LOG_SECONDS = 2.0  # for the rest of the gate's log when the sandbox stops
SEAL_SECONDS = 300.0
RETRY_SECONDS = 5.0  # before a task that ended with an error is started again
MAX_ATTEMPTS = 3  # self-tests in a row that cannot run count as a failure; one may lack a process for a moment
ATTEMPT_SECONDS = 10.0  # between two of them


class Supervisor(Control):
    """One sandbox. `run` returns the exit code."""

    def __init__(self, settings: Settings, paths: Paths) -> None:
        self.settings, self.paths = settings, paths
        self.journal = Journal(paths)
        self.services = Services(paths, self._emit)
        self.journal.traffic_head = lambda: self.services.gate.log.traffic_head
        self.policy = Policy(settings, self.services)
        self.boot = self._new_boot()
        self.work = Keeper(self.boot, self.journal)
        self.notifier = _notifier(self.boot, self.journal)
        self.freezing = Freezing(self.policy, self.journal.emit, paths.frozen)
        self._runner = Runner(steps.plan(settings.repository), self.journal.emit)
        self._stop = asyncio.Event()
        self._stopped_by = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._booted = False
        self._prove = asyncio.Event()
        self.grants = Grants(self.boot, self.journal.emit, self._prove.set)
        self.learning = self._learn() if settings.learns else None
        self.suspender = Suspender(self.boot, self.journal, self.grants, self.freezing)
        self._retrying = asyncio.Lock()

    def _learn(self) -> Learning:
        """Prepares a learning run: what the services report goes to it."""
        from backend.services.signer import Signer  # only learning runs need these
        from backend.supervision.learning import Learning

        learning = Learning(self.boot, self.grants, self.journal.emit, lambda: self.journal.state)
        services = self.services
        services.guard.found = learning.found
        services.coredns.learning, services.coredns.asked = True, learning.asked
        services.gate.learns, services.gate.log.learns = True, learning
        services.gate.trust.signer = Signer(self.paths)
        return learning

    def _new_boot(self) -> Boot:
        boot = Boot(self.settings, self.paths, self.journal.emit, self.services, self.policy)
        boot.agent_environment = agent.environment(self.settings, self.paths)
        return boot

    def _emit(self, event: Event) -> None:
        """Writes the reports of services to the journal, without refusals that our own probes caused."""
        left = self.boot.expected.without(event) if isinstance(event, Refused) else event
        if left is not None:
            self.journal.emit(left)

    async def run(self, lock: Lock) -> int:
        """Boots, then supervises until a signal. Returns 1 if boot halts and CODETAINER_ON_FAILURE is exit."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop, number.name)
        server = ControlServer(self.paths.control, self)
        await server.start()
        self._begin(self._watch_services)
        if self.notifier is not None:
            self.notifier.prepare()
            self._begin(self.notifier.run)
        if self.learning is not None:
            self._begin(self.learning.open_found)
            self._begin(self.learning.keep_writing)
        self.freezing.prepare(self.paths.cgroups)
        loop.run_in_executor(None, session.preload)
        booting = asyncio.create_task(self._boot(lock))
        self._begin(self._keep_sealing)
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((booting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not booting.done():
                booting.cancel()
                await asyncio.wait((booting,))
            elif booting.result() is BootState.HALTED and self.settings.on_failure is OnFailure.EXIT:
                return 1
            await stopping
            return 0
        finally:
            stopping.cancel()
            lock.release()
            self.journal.emit(Stopping(self._stopped_by or "end of boot"))
            for task in self._tasks:
                task.cancel()
            await server.stop()
            begun = time.monotonic()
            await self.work.last(self.settings.grace_seconds, self.suspender.last)
            if self.notifier is not None:
                await self.notifier.last(self.settings.grace_seconds - (time.monotonic() - begun))
            await self.freezing.end()
            await self.services.stop()
            if self.learning is not None:
                await self.services.gate.log.drain(LAST_LOG_SECONDS)
                self.learning.finish()
                await self.services.gate.end_signer()
            await self.services.sshd.service.stop()
            await self.services.exporter.stop()
            self.journal.close()

    def stop(self, reason: str) -> None:
        self._stopped_by = reason
        self._stop.set()

    # --- boot ---

    async def _boot(self, lock: Lock) -> BootState:
        begun = time.monotonic()
        prompt = self.settings.prompt.encode(errors="surrogateescape")
        self.journal.emit(
            BootStarted(
                VERSION,
                tuple(step.planned for step in self._runner.steps),
                self.settings.repository,
                "outside" if self.settings.outside else "inside",
                gate=self.settings.gate is GateMode.ON,
                pid=os.getpid(),
                pretend=self.settings.pretend is Pretend.ON,
                name=self.settings.name,
                prompt_sha256=hashlib.sha256(prompt).hexdigest() if prompt else "",
                prompt_bytes=len(prompt),
                learning=self.settings.learns,
                rootless=processes.in_user_namespace(),
            )
        )
        if self.settings.debug is Debug.ON:
            self.journal.emit(Noted("info", f"commands are logged in {self.paths.debug_log}: run codetainer logs --debug"))
        result = await self._runner.run(self.boot)
        state = self._conclude(result, time.monotonic() - begun)
        lock.release()
        self.journal.emit(LockReleased(session=state is not BootState.HALTED, cloned=self.boot.cloned))
        if state is BootState.HALTED:
            await self._close(keep_services=False)
        elif not self._booted:
            self._booted = True
            self._prove.clear()  # boot has just tested everything
            valid = self.settings.certificate_seconds
            self._begin(lambda: activity.watch(self.boot, self.journal))
            self._begin(self._keep_proving)
            self._begin(self.grants.withdraw_in_time)
            self._begin(lambda: watch.certificates(self.services.gate, valid, self.journal.emit))
            self._begin(lambda: load.watch(self.boot, self.journal.emit))
            self._begin(self.work.run)
            self._begin(self.suspender.run)
        return state

    def _conclude(self, result: Result, seconds: float) -> BootState:
        if result.halted:
            event = BootFinished(BootState.HALTED, round(seconds, 3), result.halted, result.reason, result.remedy)
        elif result.degraded:
            first = self.journal.state.steps[result.degraded[0]]
            event = BootFinished(BootState.DEGRADED, round(seconds, 3), first.name, first.detail, first.remedy)
        else:
            event = BootFinished(BootState.READY, round(seconds, 3))
        self.journal.emit(event)
        return event.state

    async def _close(self, *, keep_services: bool) -> None:
        """Closes the network and ends the session. Reports an error, and then closes the rest all the same."""
        if not await self._done(closed.run(self.boot)):  # the agent may have used up all processes
            await self._done(end_agent())
            await self._done(closed.run(self.boot))
        await self._done(session.end(self.paths))
        if not keep_services:
            await self.services.stop()

    async def _done(self, work: Awaitable[object]) -> bool:
        try:
            await work
        except Exception as error:
            self.journal.emit(Noted("error", f"cannot close: {error}"))
            return False
        return True

    async def retry(self) -> BootState:
        """Boots again if boot halted or a protection failed; otherwise repeats the steps that ended with a warning."""
        async with self._retrying:
            self.policy.refuse_if_frozen(NOT_STARTED)
            state = self.journal.state
            if state.needs_retry:
                self._runner.forget_protections()  # the outcomes of other steps are kept
                async with self._init() as lock:
                    return await self._boot(lock)
            if state.boot is BootState.DEGRADED:  # the agent continues meanwhile
                concluded = self._conclude(await self._runner.run(self.boot), state.boot_seconds)
                if concluded is BootState.HALTED:  # a step that only warned before, such as the self-test
                    await self._close(keep_services=False)
                return concluded
            return state.boot or BootState.BOOTING  # another retry has done it

    @contextlib.asynccontextmanager
    async def _init(self) -> AsyncIterator[Lock]:
        """Holds the init lock: logins wait, another init is refused. Raises SystemFailure."""
        lock = Lock(self.paths.lock)
        await asyncio.to_thread(lock.acquire, LOGIN_SECONDS)
        try:
            yield lock
        finally:
            lock.release()

    # --- periodic tasks ---

    async def _watch_services(self) -> None:
        """Reads CoreDNS's metrics and refused names, and checks that the services answer."""
        await watch.services(self.services, self.boot, self._emit, self._prove.set)

    async def _keep_sealing(self) -> None:
        """Seals the journal every few minutes. Until a line is sealed, root could change it."""
        try:
            self.journal.begin_seals()
        except OSError as error:
            self.journal.emit(Noted("warning", f"the journal has no seals: {error}"))
        while True:
            await asyncio.sleep(SEAL_SECONDS)
            self.journal.seal()

    async def _keep_proving(self) -> None:
        """Repeats the self-test every few minutes, and soon after a service has come back or the allowlist has changed.

        If a protection fails, closes everything until a retry.
        """
        attempts = 0  # in a row that could not run
        while True:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it loses a cancellation that arrives together with the event.
                async with asyncio.timeout(ATTEMPT_SECONDS if attempts else self.settings.proof_seconds):
                    await self._prove.wait()
            await asyncio.sleep(0.5)  # one self-test for several changes
            self._prove.clear()
            if not self._provable():
                continue
            try:
                async with self.freezing.undisturbed:
                    result = await selftest.run(self.boot, listed=False)
                attempts = 0
            except SystemFailure as error:
                result = selftest.Result(0, (str(error),), "", "")
                attempts += 1
            if self._stop.is_set() or not self._provable():
                continue  # a service ended meanwhile: that is reported, and the self-test runs when it is back
            if 0 < attempts < MAX_ATTEMPTS:
                self.journal.emit(Noted("warning", f"{result.broken[0]}; tried again in {ATTEMPT_SECONDS:.0f} s"))
                continue
            if result.silent:
                # Nothing can leave through a resolver that does not answer, and the services are watched elsewhere.
                self.journal.emit(Noted("warning", f"self-test: {result.silent}"))
            self.journal.emit(result.event)
            if result.broken:
                self.journal.emit(result.failure)
                await self._close(keep_services=False)
                attempts = 0

    def _provable(self) -> bool:
        """True if the self-test should pass: the sandbox is open, not frozen, and every service is up."""
        up = all(service.state is ServiceState.UP for service in self.services.kept)
        return self.journal.state.is_open and not self.policy.stands_still and up

    # --- requests ---

    async def freeze(self, by: str) -> bool:
        return await self.freezing.freeze(by)

    async def thaw(self, by: str) -> bool:
        thawed = await self.freezing.thaw(by)
        if thawed:
            self._prove.set()
        return thawed

    async def restart_session(self) -> None:
        async with self._init():
            self.policy.refuse_if_frozen(NOT_STARTED)
            folder = session.folder(self.paths)
            prompt = self.settings.prompt if self.boot.awaits_turn else ""
            repository_settings.prepare(self.paths, self.settings.claude_override)  # the watch reports the problems
            self.boot.session = await session.restart(
                self.paths, self.boot.agent_environment, folder, self.boot.session, prompt
            )
            self.journal.emit(SessionChanged(SessionState.UNKNOWN, session.NAME))
            if self.journal.state.session_state is SessionState.ENDED:
                self.journal.emit(SessionMeasured(SessionState.UNKNOWN, before=SessionState.ENDED))

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.add(asyncio.create_task(going_on(work, self.journal.emit)))


def _notifier(boot: Boot, journal: Journal) -> Notifier | None:
    if not boot.settings.notify:
        return None
    from backend.supervision import notifications  # loaded only if there are addresses

    return notifications.begin(boot, journal)


async def going_on(
    work: Callable[[], Coroutine[Any, Any, None]], emit: Callable[[Event], None], pause: float = RETRY_SECONDS
) -> None:
    """Runs a task for the life of the sandbox: reports an error, once if it repeats, and starts the task again."""
    reported = ""
    while True:
        try:
            await work()
        except Exception as error:
            text = f"a task of the supervisor ended and is started again: {type(error).__name__}: {error}"
            if text != reported:
                emit(Noted("error", text))
            reported = text
        await asyncio.sleep(pause)
