"""Every request reaches its function, a frozen sandbox opens nothing, and only root is answered over the socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.contract import control as requests
from backend.contract.control import Acknowledge, Allow, Mute, Reply, Request, Revoke, decode_reply
from backend.contract.events import (
    BootFinished,
    BootStarted,
    BootState,
    Event,
    Outcome,
    PlannedStep,
    ProtectionFailed,
    StepFinished,
    WorkSaved,
)
from backend.guard import channel
from backend.supervision import control, control_server
from backend.supervision.control_server import ControlServer
from backend.system import SystemFailure
from tests.unit.backend.supervision.parts import Case
from tests.unit.backend.supervision.target import Saving, Target


@pytest.fixture
def target(case: Case) -> Target:
    return Target(case)


@pytest.mark.parametrize("kind", requests.VERBS.values())
def test_every_request_has_its_function(kind: type[Request]) -> None:
    assert control.dispatch.dispatch(kind) is not control.dispatch.dispatch(Request)


EXAMPLES: dict[type[Request], Request] = {
    Allow: Allow("a.example"), Revoke: Revoke("a.example"), requests.Explain: requests.Explain("a.example"),
    Mute: Mute("a.example"), requests.Suspend: requests.Suspend("/volume/x.tar"), Acknowledge: Acknowledge(1.0),
}  # fmt: skip
OPENING = {"allow", "refresh", "retry", "session restart"}


@pytest.mark.parametrize("kind", requests.VERBS.values())
async def test_while_it_is_frozen_nothing_is_opened_or_started(target: Target, kind: type[Request]) -> None:
    target.policy.frozen = True
    target.work = Saving(WorkSaved("wip/x", "abc"))
    reply = await target.ask(EXAMPLES.get(kind) or kind())
    refused = Reply(False, control.FROZEN, "Run codetainer thaw first.")
    assert (reply == refused) is (kind.verb in OPENING)
    assert not ({"retry", "restart"} & set(target.did))


async def test_without_addresses_it_says_how_to_set_one(target: Target) -> None:
    target.notifier = None
    reply = await target.ask(requests.Notify(test=True))
    assert (reply.ok, "CODETAINER_NOTIFY is not set" in reply.text) == (False, True)


async def test_the_guard_answers_for_itself(target: Target) -> None:
    assert await target.ask(requests.Refresh()) == Reply(True, "the guard's words", data={"open": True})
    assert target.did == [f"{channel.Refresh()} within 60 s"]


async def test_freeze_and_thaw(target: Target) -> None:
    assert (await target.ask(requests.Freeze())).text == "the agent is stopped and every address is closed"
    assert (await target.ask(requests.Thaw())).text == "the agent continues"
    assert target.did == ["freeze by root", "thaw by root"]


async def test_only_a_session_of_an_open_sandbox_is_restarted(target: Target) -> None:
    refused = await target.ask(requests.RestartSession())
    assert (refused.ok, refused.hint) == (False, "Run codetainer retry to boot again.")
    target.emit(BootFinished(BootState.DEGRADED, 1.0))
    assert await target.ask(requests.RestartSession()) == Reply(True, "the session was restarted")
    target.emit(ProtectionFailed("a reason"))
    assert not (await target.ask(requests.RestartSession())).ok
    assert target.did == ["restart"]


STARTED = BootStarted("0.1.0", (PlannedStep("one", "One"), PlannedStep("two", "Two")))
WARNED = StepFinished("two", Outcome.WARNED, 0.1, "slow")
HALTED, READY, DEGRADED = (BootFinished(state, 1.0) for state in (BootState.HALTED, BootState.READY, BootState.DEGRADED))
FAILED = StepFinished("one", Outcome.FAILED, 0.1, "a reason")
RETRIES: list[tuple[list[Event], BootState, Reply | None]] = [
    ([STARTED], BootState.READY,
     Reply(False, "cannot boot again: boot is still running", "Run codetainer status to see how far it is.")),
    ([STARTED, WARNED], BootState.READY,
     Reply(False, "cannot boot again: boot is still running", "Run codetainer status to see how far it is.")),
    ([STARTED, READY], BootState.READY, Reply(False, "no step of boot has failed", "Run codetainer status to see its state.")),
    ([STARTED, WARNED, DEGRADED], BootState.READY, Reply(True, "repeated and done: Two")),
    ([STARTED, WARNED, DEGRADED], BootState.DEGRADED, Reply(False, "boot ended: degraded, a reason", "Do it.")),
    ([STARTED, FAILED, HALTED], BootState.READY, Reply(True, "boot ended: ready", "Do it.")),
    ([STARTED, FAILED, HALTED], BootState.DEGRADED, Reply(True, "boot ended: degraded, a reason", "Do it.")),
    ([STARTED, FAILED, HALTED], BootState.HALTED, Reply(False, "boot ended: halted, a reason", "Do it.")),
    ([STARTED, READY, ProtectionFailed("broken")], BootState.READY, Reply(True, "boot ended: ready", "Do it.")),
]  # fmt: skip


@pytest.mark.parametrize(("events", "result", "reply"), RETRIES)
async def test_what_comes_of_a_retry(target: Target, events: list[Event], result: BootState, reply: Reply) -> None:
    for event in events:
        target.emit(event)
    target.result = result
    assert await target.ask(requests.Retry()) == reply
    assert target.did == ([] if reply.hint.startswith("Run") else ["retry"])


async def test_a_failure_says_why_and_what_to_do(target: Target) -> None:
    target.emit(HALTED)
    target.result = SystemFailure("cannot take the lock", "Wait for it.")
    assert await target.ask(requests.Retry()) == Reply(False, "cannot take the lock", "Wait for it.")
    target.retry = cast(Any, lambda: _raises(OSError(24, "Too many open files")))  # type: ignore[method-assign]
    assert await target.ask(requests.Retry()) == Reply(False, "cannot do retry: Too many open files")
    reply = await target.ask(Allow("a b"))
    assert (reply.ok, reply.text.startswith("cannot read 'a b': "), bool(reply.hint)) == (False, True, True)


async def _raises(error: Exception) -> BootState:
    raise error


async def test_over_the_socket(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root is answered, line by line; others are refused, and the socket is closed to them."""
    path = tmp_path / "control"
    server = ControlServer(path, cast(control.Control, target))
    uids = iter((0, 1000))
    monkeypatch.setattr(
        "backend.supervision.control_server.CLIENT", SimpleNamespace(size=12, unpack=lambda _: (1, next(uids), 1))
    )
    path.write_text("left over")
    await server.start()
    assert path.stat().st_mode & 0o777 == 0o600
    lines = [requests.encode_request(requests.Thaw()).encode(), b"nonsense"]
    assert [reply.text[:19] for reply in await _exchange(path, lines)] == ["the agent continues", "cannot read request"]
    assert await _exchange(path, lines[:1]) == [Reply(False, "only root may ask for this", "Ask the operator of the sandbox.")]
    assert target.did == ["thaw by root"]
    listening = server._server
    await server.stop()
    assert listening is not None and not listening.is_serving()
    assert not path.exists()
    await ControlServer(path, cast(control.Control, target)).stop()  # before it was started


async def test_replies_are_sent_one_by_one_and_the_connection_is_closed(target: Target, tmp_path: Path) -> None:
    """Even if the client sends a line that is too long: readline raises ValueError then."""
    did: list[str] = []
    lines = iter((requests.encode_request(requests.Freeze()).encode() + b"\n", b""))

    class Writer:
        def __init__(self, uid: int) -> None:
            self.credentials = control_server.CLIENT.pack(7, uid, 0)

        def get_extra_info(self, _: str) -> Any:
            return SimpleNamespace(getsockopt=lambda *_: self.credentials)

        def write(self, data: bytes) -> None:
            did.append("write")

        async def drain(self) -> None:
            did.append("drain")

        def close(self) -> None:
            did.append("close")

    async def readline() -> bytes:
        return next(lines)

    async def too_long() -> bytes:
        raise ValueError("Separator is found, but chunk is longer than limit")

    server = ControlServer(tmp_path / "control", cast(control.Control, target))
    await server._serve(cast(Any, SimpleNamespace(readline=readline)), cast(Any, Writer(0)))
    await server._serve(cast(Any, SimpleNamespace(readline=too_long)), cast(Any, Writer(0)))
    assert did == ["write", "drain", "close", "close"]
    assert target.did == ["freeze by root"]


async def _exchange(path: Path, lines: list[bytes]) -> list[Reply]:
    reader, writer = await asyncio.open_unix_connection(path)
    replies = []
    for line in lines:
        writer.write(line + b"\n")
        replies.append(decode_reply((await reader.readline()).decode()))
    writer.close()
    return replies
