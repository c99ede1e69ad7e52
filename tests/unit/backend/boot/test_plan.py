"""Plans: their order comes from dependencies, and invalid plans are refused."""

from __future__ import annotations

import pytest

from backend.boot import steps
from backend.boot.plan import OnFailure, Step, ordered
from backend.context import Boot


async def nothing(_: Boot) -> str:
    return ""


def step(name: str, *needs: str) -> Step:
    return Step(name, name, nothing, needs)


def test_the_order_comes_from_dependencies() -> None:
    names = [s.name for s in ordered((step("c", "b"), step("a"), step("b", "a")))]
    assert names == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ((step("a", "nobody"),), "nobody"),
        ((step("a"), step("a")), "the same name"),
        ((step("a", "b"), step("b", "a")), "need each other"),
    ],
)
def test_invalid_plans_are_refused(plan: tuple[Step, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ordered(plan)


def needs(name: str) -> set[str]:
    """Returns all direct and indirect dependencies of a step."""
    by_name = {s.name: s for s in steps.plan()}
    dependencies: set[str] = set()
    left = list(by_name[name].needs)
    while left:
        dependencies.add(left[-1])
        left += by_name[left.pop()].needs
    return dependencies


def test_the_network_is_closed_before_anything_else() -> None:
    first = steps.plan()[0]
    assert first.name == "closed"
    assert first.needs == ()
    for other in steps.plan()[1:]:
        assert "closed" in needs(other.name), other.name


def test_the_session_starts_after_all_protections() -> None:
    assert {"rules", "guard", "names", "readonly", "readiness", "tmpfs"} <= needs("session")


@pytest.mark.parametrize("name", ["closed", "tmpfs", "rules", "guard", "names", "readonly", "readiness", "session"])
def test_a_failed_protection_halts_boot(name: str) -> None:
    assert {s.name: s for s in steps.plan()}[name].on_failure is OnFailure.HALT


def test_the_repository_is_cloned_after_the_root_is_read_only() -> None:
    assert "readonly" in needs("clone")
