"""`explain` while everything is closed, or a service is away: nothing is said to be open."""

from __future__ import annotations

import time

import pytest

from backend.contract.control import ListAllowed
from backend.contract.events import (
    BootFinished,
    BootState,
    Froze,
    Outcome,
    PlannedStep,
    ProtectionFailed,
    Reason,
    ServiceChanged,
    ServiceState,
    StepFinished,
    Stopping,
)
from backend.contract.events import BootStarted as Boot
from tests.unit.backend.supervision.lab import Lab
from tests.unit.backend.supervision.parts import Case


@pytest.fixture
def lab(case: Case, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(case, monkeypatch)


TARGETS = ["a.example", "a.example:443", "198.51.100.1:443", "198.51.100.1", "b.example"]


@pytest.mark.parametrize("target", TARGETS)
async def test_nothing_is_open_while_frozen(lab: Lab, target: str) -> None:
    await lab.explain("a.example")
    lab.emit(Froze(True, "root"))
    lab.policy.frozen = True
    reply = await lab.explain(target)
    at = time.strftime("%H:%M", time.localtime(1.0))
    frozen = f"the sandbox is frozen (by root at {at})"
    if target == "b.example":  # refused anyway, with the reason of DNS
        assert reply.text.startswith("b.example is refused: not on the allowlist. ")
        assert f"Besides, {frozen}. The operator can run codetainer thaw" in reply.text
        assert reply.data["reason"] == Reason.NOT_LISTED
    else:
        assert reply.text.startswith(f"{target} is refused: {frozen}. The operator can run codetainer thaw")
    assert (reply.ok, reply.data["open"]) == (True, False)
    assert reply.text.endswith("The allowlist has it: 443, 80 (domains.conf:1).") is target.startswith("a.")
    assert (await lab.ask(ListAllowed())).data["closed"].startswith(frozen)


async def test_nothing_is_open_after_a_halt(lab: Lab) -> None:
    lab.emit(Boot("1", (PlannedStep("network", "Close the network"),)))
    lab.emit(StepFinished("network", Outcome.FAILED, 1.0))
    lab.emit(BootFinished(BootState.HALTED, 1.0, "network", "nft failed", ""))
    for target in TARGETS:
        reply = await lab.explain(target)
        halted = "boot halted at Close the network, so everything is closed (nft failed). Run codetainer retry"
        assert halted in reply.text
        assert reply.text.startswith(f"{target} is refused: ")
        assert not reply.data["open"]


async def test_nothing_is_open_after_a_protection_has_failed(lab: Lab) -> None:
    lab.emit(Boot("1", ()))
    lab.emit(BootFinished(BootState.READY, 1.0))
    lab.emit(ProtectionFailed("the firewall is open"))
    at = time.strftime("%H:%M", time.localtime(1.0))
    for target in TARGETS:
        reply = await lab.explain(target)
        assert f"a protection failed at {at}, so everything is closed (the firewall" in reply.text
        assert not reply.data["open"]


async def test_nothing_is_open_while_the_sandbox_stops(lab: Lab) -> None:
    lab.emit(Stopping("SIGTERM"))
    assert (await lab.explain("a.example")).text.startswith("a.example is refused: the sandbox is stopping")


@pytest.mark.parametrize(
    ("service", "target", "words"),
    [
        ("coredns", "a.example", "CoreDNS is down, so DNS answers nothing"),
        ("coredns", "ports.example:8443", "CoreDNS is down, so DNS answers nothing"),
        ("gate", "a.example:443", "the gate is down, so it carries nothing"),
        ("gate", "ports.example:8443", ""),
    ],
)
async def test_a_service_that_is_down_refuses(lab: Lab, service: str, target: str, words: str) -> None:
    lab.emit(Boot("1", (), gate=True))
    lab.emit(ServiceChanged(service, ServiceState.DOWN))
    reply = await lab.explain(target)
    assert (words or "is open") in reply.text
    assert reply.data["open"] is not bool(words)
