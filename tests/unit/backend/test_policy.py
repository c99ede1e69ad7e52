"""Putting an allowlist into effect, and freezing."""

from __future__ import annotations

from typing import cast

import pytest

from backend import settings
from backend.policy import Policy
from backend.services.bundle import Services
from backend.system import SystemFailure
from tests.unit.backend.supervision.parts import Parts, listed

ONE, TWO = listed("one.example"), listed("one.example two.example")


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def policy(parts: Parts) -> Policy:
    loaded = settings.load({"GH_PAT": "x", "ANTHROPIC_API_KEY": "x", "CODETAINER_KEEP": "7s", "CODETAINER_REFRESH": "9s"})
    return Policy(loaded, cast("Services", parts))


async def test_guard_then_dns_then_gate(policy: Policy, parts: Parts) -> None:
    assert (policy.listed.entries, policy.allowlist.entries) == ((), ())
    await policy.begin(ONE)
    assert (policy.listed, policy.allowlist) == (ONE, ONE)
    await policy.apply(TWO)
    assert (policy.listed, policy.allowlist) == (ONE, TWO)
    assert parts.order == ["guard", "names", "gate"] * 2
    assert parts.has == {part: {"one.example", "two.example"} for part in ("guard", "names", "gate")}


async def test_the_guard_gets_the_settings(policy: Policy, parts: Parts) -> None:
    await policy.use_upstreams(("192.0.2.53",))
    assert parts.order == ["guard"]
    configuration = policy.configuration()
    assert (configuration.keep_seconds, configuration.refresh_seconds, configuration.gate) == (7.0, 9.0, True)
    assert configuration.upstreams == ("192.0.2.53",)


@pytest.mark.parametrize(("down", "reached"), [("guard", []), ("names", ["guard"]), ("gate", ["guard", "names"])])
async def test_opening_stops_at_the_first_failure(policy: Policy, parts: Parts, down: str, reached: list[str]) -> None:
    parts.down = {down}
    with pytest.raises(SystemFailure, match=f"{down} is down"):
        await policy.apply(TWO)
    assert parts.order == reached


async def test_closing_reaches_all_services_and_then_reports_failures(policy: Policy, parts: Parts) -> None:
    parts.down = {"guard", "names"}
    with pytest.raises(SystemFailure, match="guard is down; names is down"):
        await policy.apply(ONE, to_all=True)
    assert parts.order == ["gate"]


async def test_a_freeze_closes_the_guard_and_a_thaw_opens_it_before_the_agent(policy: Policy, parts: Parts) -> None:
    seen: list[tuple[bool, bool, list[str]]] = []

    async def release() -> None:
        seen.append((policy.frozen, parts.paused, list(parts.resolved)))

    await policy.freeze()
    assert (policy.frozen, parts.paused) == (True, True)
    with pytest.raises(SystemFailure, match="the sandbox is frozen: nothing is opened"):
        policy.refuse_if_frozen("nothing is opened")
    await policy.apply(TWO)  # as for a revoke: the guard stays closed
    assert parts.paused
    await policy.thaw(release)
    assert seen == [(True, False, ["refresh"])]
    assert not policy.frozen
    policy.refuse_if_frozen("nothing is opened")


async def test_a_freeze_holds_even_if_the_guard_does_not_answer(policy: Policy, parts: Parts) -> None:
    parts.down = {"guard"}
    with pytest.raises(SystemFailure):
        await policy.freeze()
    assert policy.frozen
    assert policy.configuration().paused  # the guard's configuration when it comes back


@pytest.mark.parametrize("down", ["guard", "resolver", "agent"])
async def test_a_failed_thaw_leaves_the_sandbox_frozen_and_closed(policy: Policy, parts: Parts, down: str) -> None:
    async def release() -> None:
        if down == "agent":
            raise SystemFailure("the agent does not go on")

    await policy.freeze()
    parts.down = {down}
    with pytest.raises(SystemFailure):
        await policy.thaw(release)
    assert policy.frozen
    assert policy.configuration().paused


async def test_a_guard_that_was_down_during_a_thaw_starts_open(policy: Policy, parts: Parts) -> None:
    async def release() -> None: ...

    await policy.freeze()
    parts.stopped()
    await policy.thaw(release)
    assert not parts.paused
    assert not policy.frozen
