"""As much of a supervisor as requests need: a journal that folds, grants, and a keeper."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

from backend.contract.control import Reply, Request, WorkAtStake
from backend.contract.events import BootFinished, BootState, Event, RepositoryWork, ServiceState, Stamped, WorkSaved
from backend.contract.state import State, fold
from backend.guard import channel
from backend.notify.messages import Message
from backend.notify.notifier import Tested
from backend.notify.protocol import Outcome
from backend.policy import Policy
from backend.supervision import control
from backend.system import SystemFailure
from tests.unit.backend.supervision.parts import Case

STAKE = WorkAtStake((RepositoryWork("/workspace/repo", commits=2, notes=("one",)),), 7.0, "why", "wip/x", "no", True)


class Saving:
    """A keeper that is told what comes of it."""

    def __init__(self, saved: WorkSaved | None = None) -> None:
        self.saved, self.dropped, self.repository = saved, False, "octo/repo"

    async def at_stake(self) -> WorkAtStake:
        return STAKE

    async def save(self) -> tuple[WorkSaved, WorkAtStake]:
        assert self.saved is not None
        return self.saved, dataclasses.replace(STAKE, problem="")

    def drop(self) -> None:
        self.dropped = True


class Notifying:
    """A notifier with one address, whose test message is not delivered."""

    def __init__(self) -> None:
        self.destinations: tuple[object, ...] = (object(),)
        self.sent: list[Message] = []
        self.results: tuple[Tested, ...] = (Tested("address 1 (ntfys)", Outcome.REDIRECT),)

    def address(self, number: int) -> str:
        return f"address {number + 1} (ntfys)"

    async def send_now(self, message: Message) -> tuple[Tested, ...]:
        self.sent.append(message)
        return self.results


class Target:
    """`did` has what was asked of its parts; a retry ends with `result`."""

    def __init__(self, case: Case) -> None:
        self.case, self.grants, self.journal = case, case.grants, self
        self.state = State()
        self.work = Saving()
        self.notifier: Notifying | None = Notifying()
        self.learning: Any = None
        self.did: list[str] = []
        self.suspender = SimpleNamespace(to_file=self._suspend)
        self.result: BootState | SystemFailure = BootState.READY
        reader = SimpleNamespace(service=SimpleNamespace(state=ServiceState.STOPPED))
        self.services = SimpleNamespace(guard=SimpleNamespace(ask=self._ask_guard), reader=reader)

    async def _ask_guard(self, request: channel.Request, seconds: float = 10.0) -> channel.Done:
        self.did.append(f"{request} within {seconds:g} s")
        return channel.Done(1, True, "the guard's words", {"open": True})

    async def _suspend(self, file: str) -> Reply:
        self.did.append(f"suspend to {file}")
        return Reply(True, "suspended")

    async def freeze(self, by: str) -> bool:
        self.did.append(f"freeze by {by}")
        return True

    async def thaw(self, by: str) -> bool:
        self.did.append(f"thaw by {by}")
        return True

    async def restart_session(self) -> None:
        self.did.append("restart")

    async def retry(self) -> BootState:
        self.did.append("retry")
        if isinstance(self.result, SystemFailure):
            raise self.result
        self.emit(BootFinished(self.result, 1.0, "one", "" if self.result is BootState.READY else "a reason", "Do it."))
        return self.result

    @property
    def policy(self) -> Policy:
        return self.case.policy

    def emit(self, event: Event) -> None:
        self.state = fold(self.state, Stamped(1.0, 1, event))

    async def ask(self, request: Request) -> Reply:
        return await control.answer(request, cast(control.Control, self))
