"""The supervisor's side of the guard's channel: a change sends only the entries that differ, if the guard has the others."""

from __future__ import annotations

from pathlib import Path

from backend.contract.events import ServiceState
from backend.contract.paths import Paths
from backend.guard.channel import Amend, Configure, Configured, Done, ListedName, Request
from backend.services.guard import Guard
from backend.system import SystemFailure

A, B, C = (ListedName(f"{name}.example", False, ((443, "tls"),), "f:1") for name in "abc")


class Channel(Guard):
    """A guard whose channel records messages. `errors` has the answers to the next ones."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Paths(folder), lambda _: None)
        self.service.state = ServiceState.UP
        self.sent: list[tuple[type, tuple[str, ...]]] = []
        self.errors: list[str] = []

    async def _send(self, number: int, message: Configure | Amend | Request, seconds: float) -> Configured | Done:
        assert isinstance(message, Configure | Amend)
        assert message.id == number
        self.sent.append((type(message), tuple(entry.name for entry in message.entries)))
        error = self.errors.pop(0) if self.errors else ""
        if error == "silence":
            raise SystemFailure("cannot ask the guard")
        return Configured(number, error)


async def test_only_the_entries_that_differ_are_sent(tmp_path: Path) -> None:
    guard = Channel(tmp_path)
    await guard.change(Configure((A,), ()))
    await guard.change(Configure((A, B), ()))
    await guard.change(Configure((B,), ()))
    assert guard.sent == [(Configure, ("a.example",)), (Amend, ("b.example",)), (Amend, ())]


async def test_the_same_configuration_is_sent_again_as_a_whole(tmp_path: Path) -> None:
    """After the firewall was loaded again, the guard fills its sets."""
    guard = Channel(tmp_path)
    await guard.change(Configure((A,), ()))
    await guard.change(Configure((A,), ()))
    assert [kind for kind, _ in guard.sent] == [Configure, Configure]


async def test_a_guard_that_refuses_an_amendment_gets_everything(tmp_path: Path) -> None:
    guard = Channel(tmp_path)
    await guard.change(Configure((A,), ()))
    guard.errors = ["cannot amend"]
    await guard.change(Configure((A, B), ()))
    assert guard.sent[1:] == [(Amend, ("b.example",)), (Configure, ("a.example", "b.example"))]


async def test_after_a_failure_everything_is_sent(tmp_path: Path) -> None:
    guard = Channel(tmp_path)
    await guard.change(Configure((A,), ()))
    for errors in (["silence"], ["cannot amend", "cannot change the firewall"]):
        guard.errors = errors
        try:
            await guard.change(Configure((A, B), ()))
        except SystemFailure:
            pass
        else:
            raise AssertionError("the failure was not reported")
        assert guard.errors == []
        guard.sent.clear()
        await guard.change(Configure((A, B, C), ()))
        assert guard.sent == [(Configure, ("a.example", "b.example", "c.example"))]
        await guard.change(Configure((A,), ()))
