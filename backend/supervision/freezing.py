"""Freeze and thaw: closes the network and stops the agent, together, and undoes both."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend import processes, system
from backend.agent.cgroups import hierarchy
from backend.agent.freezer import Freezer
from backend.contract.events import Event, Froze
from backend.policy import Policy
from backend.system import SystemFailure

STARTING_SECONDS = 0.2  # from a process's fork until it has the agent's uid


class Freezing:
    """Stops and continues the agent. `Policy.frozen` is true if it is stopped; `marker` is a file for root's commands."""

    def __init__(self, policy: Policy, emit: Callable[[Event], None], marker: Path) -> None:
        self._policy, self._emit, self._marker = policy, emit, marker
        self._changing = asyncio.Lock()
        # Its one thread starts before the agent, which may leave no process for another.
        self._thread = ThreadPoolExecutor(1)
        self._freezer: asyncio.Task[Freezer] | None = None
        self.undisturbed = asyncio.Lock()  # held by the self-test, which starts processes as the agent and judges them
        self._urgent = 0  # freezes that are under way
        self.interrupted = threading.Event()
        self._reported = self._complete = False  # the journal has the freeze; the last freeze was complete

    def prepare(self, cgroups: Path) -> None:
        """Creates what a freeze needs before the agent can use up all processes and memory."""
        self._freezer = asyncio.create_task(self._make(cgroups))

    async def freeze(self, by: str) -> bool:
        """Closes every address, cuts all connections and stops the agent's processes.

        If one of these fails, does the others and raises SystemFailure.

        Returns False if the sandbox was frozen already. It is then frozen again, to be sure, but the journal has one freeze.
        """
        self._urgent += 1  # interrupts `held`
        if not self._policy.frozen:
            self.interrupted.set()
        try:
            return await self._freeze(by)
        finally:
            self._urgent -= 1

    async def _freeze(self, by: str) -> bool:
        async with self._changing:
            before, self._complete = self._complete, False
            failures: list[str] = []
            try:
                system.write(self._marker, "")
            except (SystemFailure, OSError) as error:
                failures.append(f"root's git may start programs of the agent's: {error}")
            try:
                await self._policy.freeze()
            except SystemFailure as error:
                failures.append(f"addresses are not closed yet: {error}")
            if self._freezer is None:
                return True
            freezer = await self._freezer
            if not self._reported:
                self._emit(Froze(True, by))
                self._reported = True
            # From now on we start nothing as the agent. One that is being started (a look at its pane) gets its uid soon.
            for pause in (0.0, STARTING_SECONDS):
                await asyncio.sleep(pause)
                try:
                    await self._run(freezer.freeze)
                except SystemFailure as error:
                    failures.append(str(error))
            if failures:
                raise SystemFailure("; ".join(dict.fromkeys(failures)), "Run codetainer freeze to try again.")
            self._complete = True
            return not before

    async def thaw(self, by: str) -> bool:
        """Undoes `freeze`. Raises SystemFailure; the sandbox stays frozen then. Returns False if it was not frozen."""
        async with self._changing:
            if not self._policy.frozen:
                return False
            await self._policy.thaw(self._release)
            self._reported = self._complete = False
            self._emit(Froze(False, by))
            return True

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[bool]:
        """Stops the agent's processes, but leaves the network as it is. Yields False if they could not be stopped.

        A freeze in the meantime sets `interrupted`; the block should then end.
        """
        async with self.undisturbed, self._changing:
            if not self._urgent or self._policy.frozen:
                self.interrupted.clear()
            if self._policy.frozen or self._freezer is None:
                yield self._policy.frozen
                return
            freezer = await self._freezer
            self._policy.held = True
            stopped = True
            try:
                try:
                    await self._run(freezer.freeze)
                except SystemFailure:
                    stopped = False
                yield stopped
            finally:
                if not self._urgent:
                    await self._run(freezer.thaw)
                self._policy.held = False

    async def end(self) -> None:
        """Kills what is frozen, so that nothing is left."""
        if self._freezer is not None:
            await self._run((await self._freezer).end)

    async def _release(self) -> None:
        if self._freezer is not None:
            await self._run((await self._freezer).thaw)
        self._marker.unlink(missing_ok=True)

    async def _make(self, cgroups: Path) -> Freezer:
        within = await asyncio.get_running_loop().run_in_executor(self._thread, hierarchy, cgroups)
        return Freezer(processes.of_agent, within)

    async def _run(self, work: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)
