"""A learning run over guard and gate in small: names are opened in the right order, and only those that may be."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from backend.context import Boot
from backend.contract import control as requests
from backend.contract.control import Reply
from backend.contract.events import Learned, Noted
from backend.contract.paths import Paths
from backend.contract.state import State
from backend.settings.values import Learn
from backend.supervision.grants import LEARNING
from backend.supervision.learning import Learning
from backend.system import SystemFailure
from network import grant
from network.allowlist import Allowlist, parse
from network.learning.record import Request
from tests.unit.backend.supervision.parts import Case, by_hand, names
from tests.unit.backend.supervision.target import Target

NEW = "new.example"


class Run:
    """A learning run, whose tasks run as long as the test."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.paths = case, Paths(folder)
        self.paths.run.mkdir(parents=True)
        case.policy._settings = dataclasses.replace(case.policy._settings, learn=Learn.ON)
        case.policy.read = case.policy.listed
        boot = SimpleNamespace(paths=self.paths, policy=case.policy)
        self.learning = Learning(cast(Boot, boot), case.grants, case._emit, State, lambda: case.now)

    async def found(self, name: str) -> None:
        self.learning.found(name)
        await self.settled()

    async def settled(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0)

    def request(self, name: str, method: str = "GET", path: str = "/a") -> None:
        self.learning.request(Request(name, 443, method, path, "", True))

    def entries(self) -> list[str]:
        """The entries of the file besides the run's own allowlist."""
        allowlist = parse(self.learning.text(), "learned.conf").allowlist
        return [str(entry) for entry in allowlist.entries if entry.pattern != "always.example"]


@pytest.fixture
async def run(case: Case, tmp_path: Path) -> AsyncIterator[Run]:
    made = Run(case, tmp_path)
    task = asyncio.create_task(made.learning.open_found())
    yield made
    task.cancel()


async def test_the_gate_knows_a_name_before_the_guard_lets_its_program_continue(run: Run, case: Case) -> None:
    await run.found(NEW)
    assert case.parts.order == ["gate", "guard"]
    assert case.parts.has["guard"] == case.parts.has["gate"] == {"always.example", NEW}
    assert case.events == [Learned(NEW)]
    assert [grant.by for grant in case.grants.granted[NEW]] == [LEARNING]
    run.request(NEW, "POST", "/v1/items/42")
    assert run.entries() == [f"{NEW}:443 POST:/v1/items/*"]


async def test_names_that_are_found_together_are_opened_together(run: Run, case: Case) -> None:
    for number in range(5):
        run.learning.found(f"n{number}.example")
    await run.settled()
    assert case.parts.order == ["gate", "guard"]


@pytest.mark.parametrize("name", ["api.github.com", "always.example"])
async def test_hosts_of_credentials_and_listed_names_are_not_learned(run: Run, case: Case, name: str) -> None:
    """The guard must not be the only one to decide."""
    await run.found(name)
    run.request(name)
    assert case.grants.granted == {}
    assert run.entries() == []
    assert name in case.policy.configuration().never or name == "always.example"


async def test_nothing_is_opened_while_the_sandbox_is_frozen(run: Run, case: Case) -> None:
    case.policy.frozen = True
    await run.found(NEW)
    assert (case.grants.granted, case.parts.order) == ({}, [])
    assert [event.level for event in case.events if isinstance(event, Noted)] == ["error"]


@pytest.mark.parametrize("part", ["gate", "guard"])
async def test_a_name_that_one_part_refuses_is_not_open(run: Run, case: Case, part: str) -> None:
    case.parts.down = {part}
    await run.found(NEW)
    assert case.grants.granted == {}
    assert NEW not in names(case.policy.allowlist)
    assert run.learning.record.names == {}
    case.parts.down = set()
    await run.found(NEW)
    assert NEW in case.grants.granted


async def test_a_name_that_fails_keeps_no_other_closed(run: Run, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    opens = case.policy.open

    async def refuses(allowlist: Allowlist) -> None:
        if "bad.example" in names(allowlist):
            raise SystemFailure("no certificate")
        await opens(allowlist)

    monkeypatch.setattr(case.policy, "open", refuses)
    for name in (NEW, "bad.example", "other.example"):
        run.learning.found(name)
    await run.settled()
    assert set(case.grants.granted) == set(run.learning.record.names) == {NEW, "other.example"}


async def test_what_the_operator_closes_stays_closed(run: Run, case: Case) -> None:
    await run.found(NEW)
    run.request(NEW)
    await case.grants.withdraw(NEW, "operator")
    assert NEW in case.policy.configuration().never
    await run.found(NEW)
    assert case.grants.granted == {}
    assert run.entries() == []
    run.request(NEW)
    assert run.entries() == []
    assert "closed by the operator" in run.learning.text()


async def test_what_the_operator_allows_is_in_the_file(run: Run, case: Case) -> None:
    await case.grants.grant(by_hand("hand.example"), 0.0, "operator")
    assert run.entries() == ["hand.example"]


@pytest.mark.parametrize("text", [f"{NEW}:443", f"{NEW}:443 read"])
async def test_a_port_that_the_operator_allows_is_not_learned_as_well(run: Run, case: Case, text: str) -> None:
    """Two entries for one port would grant what either of them grants."""
    await run.found(NEW)
    run.request(NEW, "POST", "/x")
    words = (grant.READ,) if text.endswith(" read") else grant.ANYTHING
    await case.grants.grant(by_hand(f"{NEW}:443").granting(words), 0.0, "operator")
    run.request(NEW, "POST", "/y")
    assert [line for line in run.learning.text().splitlines() if line.startswith(NEW)] == [text]
    run.learning.request(Request(NEW, 80, "GET", "/", "", True))
    assert [line for line in run.learning.text().splitlines() if line.startswith(NEW)] == [text, f"{NEW}:80 read"]


async def test_a_port_that_the_operator_closes_is_not_learned(run: Run, case: Case) -> None:
    await run.found(NEW)
    run.request(NEW)
    run.learning.request(Request(NEW, 80, "GET", "/", "", True))
    await case.grants.withdraw(NEW, "operator", (443,))
    assert run.entries() == [f"{NEW}:80 read"]


async def test_a_client_that_refuses_the_certificate_gets_unopened_tls(run: Run, case: Case) -> None:
    await run.found(NEW)
    run.learning.untrusted(NEW)
    run.learning.untrusted("unknown.example")
    await run.settled()
    (granted,) = case.grants.granted[NEW]
    assert [(port.number, port.grant) for port in granted.entry.ports] == [(443, ()), (80, ("recorded",))]
    assert list(case.grants.granted) == [NEW]
    assert run.entries() == []  # nothing has answered yet
    run.learning.connection(NEW, 443, 5000)
    assert run.entries() == [f"{NEW}:443"]
    assert any(isinstance(event, Noted) and NEW in event.text for event in case.events)


async def test_the_file_and_the_events(run: Run, case: Case) -> None:
    run.learning.asked(NEW, "curl\n\x1b[2J")
    await run.found(NEW)
    run.request(NEW)
    run.learning.finish()
    assert run.paths.learned.read_text() == run.learning.text()
    assert run.paths.learned.stat().st_mode & 0o777 == 0o600
    assert case.events[-1] == Learned(NEW, f"{NEW}:443 read", ("curl???2J",), "answered")
    told = len(case.events)
    run.request(NEW)
    run.learning.finish()
    assert len(case.events) == told  # the entry is the same


async def test_the_verb(case: Case, run: Run) -> None:
    target = Target(case)
    refused = await target.ask(requests.ShowLearned())
    assert (refused.ok, refused.text) == (False, "this is no learning run")
    target.learning = run.learning
    assert await target.ask(requests.ShowLearned()) == Reply(True, data={"text": run.learning.text()})


async def test_an_error_is_reported_once_and_opening_goes_on(run: Run, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: object) -> None:
        raise SystemFailure("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(case.grants, "learn", fails)
        await run.found(NEW)
        await run.found("other.example")
    assert [event.text for event in case.events if isinstance(event, Noted)] == [
        "learning run: cannot open a name: the disk is full"
    ]
    await run.found(NEW)
    assert NEW in case.grants.granted
