"""What a process of the agent's says about the work is cut to size, or refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.context import Boot
from backend.contract.events import (
    BootFinished,
    BootStarted,
    BootState,
    Event,
    Occasion,
    ProtectionFailed,
    RepositoryWork,
    Stamped,
    WorkCounted,
    WorkRecounted,
    WorkSaved,
    decode,
    encode,
)
from backend.contract.paths import Paths
from backend.contract.state import State, fold, fold_all
from backend.journal import Journal
from backend.settings.values import Autosave, Pretend, Save
from backend.system import SystemFailure
from backend.work.keeper import Keeper
from backend.work.once import Once
from backend.work.place import MAX_REPOSITORIES
from backend.work.reported import MAX_COUNT, MAX_TEXT, parsed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_what_is_counted() -> None:
    said = {
        "repositories": [{"path": "/workspace/repo", "branch": "main", "commits": 2, "files": 1, "notes": ["x"]}],
        "more": 1,
    }
    assert parsed(said, Occasion.STOPPING) == WorkCounted(
        (RepositoryWork("/workspace/repo", "main", 2, 1, notes=("x",)),), Occasion.STOPPING
    )


def test_it_is_cut_to_size() -> None:
    one = {"path": "x" * 9999, "branch": "b" * 9999, "commits": 10**30, "files": -5, "notes": ["n" * 9999] * 999}
    found = parsed({"repositories": [one] * 99}, Occasion.LOOKED)
    assert len(found.repositories) == MAX_REPOSITORIES
    work = found.repositories[0]
    assert (len(work.path), len(work.branch), work.commits, work.files) == (MAX_TEXT, MAX_TEXT, MAX_COUNT, 0)
    assert len(encode(Stamped(1.0, 1, found))) < 200_000


@pytest.mark.parametrize(
    "repositories",
    [
        7,
        [7],
        [{}],
        [{"path": 7}],
        [{"path": "x", "commits": "2"}],
        [{"path": "x", "notes": [7]}],
        [{"path": "x", "notes": 7}],
        {"a": 1},
    ],
)
def test_what_is_none(repositories: Any) -> None:
    with pytest.raises(ValueError, match="invalid count"):
        parsed({"repositories": repositories}, Occasion.LOOKED)


@given(st.dictionaries(st.sampled_from(["path", "branch", "commits", "files", "more", "notes", "stashes"]), JSON))
def test_whatever_is_said_there_is_an_event_or_an_error(work: dict[str, Any]) -> None:
    said = json.loads(json.dumps({"repositories": [work]}))
    try:
        found = parsed(said, Occasion.LOOKED)
    except ValueError:
        return
    assert decode(encode(Stamped(1.0, 1, found))).event == found


READY = (BootFinished(BootState.READY, 2.0),)


@pytest.mark.parametrize(
    ("events", "frozen", "cloned", "why"),
    [
        (READY, False, True, ""),
        ((BootFinished(BootState.DEGRADED, 2.0),), False, True, ""),
        (READY, True, True, "the sandbox is frozen, no data may leave it"),
        ((BootFinished(BootState.HALTED, 2.0, "rules"),), False, True, "boot has halted, no data may leave"),
        ((*READY, ProtectionFailed("a reason")), False, True, "a protection failed, no data may leave"),
        ((), False, True, "boot has not finished"),
        (READY, False, False, "REPO_URL was not cloned"),
    ],
)
def test_nothing_is_pushed_from_a_sandbox_that_is_closed_or_has_no_clone(
    events: tuple[Event, ...], frozen: bool, cloned: bool, why: str
) -> None:
    state = fold_all([Stamped(float(at), at, event) for at, event in enumerate((BootStarted("0.1.0", ()), *events), 1)])
    boot = SimpleNamespace(policy=SimpleNamespace(frozen=frozen), cloned=cloned)
    keeper = Keeper(cast(Boot, boot), cast(Journal, SimpleNamespace(state=state)))
    assert keeper._cannot_save() == why


@pytest.mark.parametrize(
    ("events", "occasion"),
    [
        (READY, Occasion.LOOKED),
        ((BootFinished(BootState.HALTED, 2.0, "rules"),), Occasion.HALTED),
        ((*READY, ProtectionFailed("a reason")), Occasion.PROTECTION_FAILED),
    ],
)
def test_work_is_counted_when_everything_closes(events: tuple[Event, ...], occasion: Occasion) -> None:
    state = fold_all([Stamped(float(at), at, event) for at, event in enumerate((BootStarted("0.1.0", ()), *events), 1)])
    keeper = Keeper(cast(Boot, SimpleNamespace()), cast(Journal, SimpleNamespace(state=state)))
    assert keeper._occasion() is occasion


class Answers(Keeper):
    """A keeper whose processes say what a test wants; None: nothing that can be read."""

    def __init__(self, *said: dict[str, Any] | None) -> None:
        self.said, self.told = list(said), list[Event]()
        paths = SimpleNamespace(workspace="/workspace", saved_work="/none")
        super().__init__(cast(Boot, SimpleNamespace(paths=paths)), cast(Journal, SimpleNamespace(emit=self.told.append)))

    async def _ask(self, through: Any, seconds: float, *arguments: str) -> dict[str, Any]:
        if (said := self.said.pop(0)) is None:
            raise SystemFailure("git does not end")
        return said


async def test_what_cannot_be_counted_is_not_nothing() -> None:
    """Whoever reads the journal learns that what was counted last is not true any more; once, and again on each occasion."""
    clean: dict[str, Any] = {"repositories": [{"path": "/workspace/repo"}]}
    keeper = Answers(clean, clean, None, None, None, clean)
    occasions = (*[Occasion.LOOKED] * 4, Occasion.STOPPING, Occasion.LOOKED)
    assert [await keeper._count(occasion, 1.0) for occasion in occasions] == [True, True, False, False, False, True]
    known = (RepositoryWork("/workspace/repo"),)
    assert [event for event in keeper.told if isinstance(event, WorkCounted)] == [
        WorkCounted(known),
        WorkCounted(known, problem="git does not end"),
        WorkCounted(known, Occasion.STOPPING, "git does not end"),
        WorkCounted(known),
    ]


def test_what_is_said_once_is_remembered_but_not_without_end() -> None:
    """The agent decides what git says: each time something else, for days."""
    once = Once()
    assert [once.is_new("one"), once.is_new("one"), once.is_new("other"), once.is_new("one")] == [True, False, True, False]
    for number in range(10_000):
        assert once.is_new(f"problem {number}")
        assert not once.is_new("one")
    assert len(once._recent) <= Once.MAX
    once.clear()
    assert once.is_new("one")


class Journaled:
    """A journal that folds."""

    def __init__(self, *events: Event) -> None:
        self.state = State()
        self.events: list[Event] = []
        for event in events:
            self.emit(event)
        self.events.clear()

    def emit(self, event: Event) -> None:
        self.state = fold(self.state, Stamped(1.0, 1, event))
        self.events.append(event)


class Asked(Keeper):
    """A keeper that is told what git would say. An error is raised."""

    def __init__(
        self,
        journal: Journaled,
        *,
        repo_url: str = "https://github.com/octo/repo",
        when: Save = Save.OFF,
        frozen: bool = False,
        pretend: Pretend = Pretend.OFF,
        root: Path = Path("/none"),
    ) -> None:
        settings = SimpleNamespace(repo_url=repo_url, repository="octo/repo", autosave=Autosave(when), pretend=pretend)
        policy = SimpleNamespace(frozen=frozen)
        boot = SimpleNamespace(settings=settings, paths=Paths(root), policy=policy, cloned=True)
        super().__init__(cast(Boot, boot), cast(Journal, journal))
        self.says: dict[str, Any] = {"count": {"repositories": [{"path": "/workspace/repo", "commits": 1}]}}
        self.asked: list[str] = []

    async def _ask(self, through: Sequence[str], seconds: float, *arguments: str) -> Mapping[str, Any]:
        self.asked.append(arguments[0])
        said = self.says[arguments[0]]
        if isinstance(said, Exception):
            raise said
        return cast(Mapping[str, Any], said)


ONE = (RepositoryWork("/workspace/repo", commits=1),)
PUSHED = {"commit": "abc", "fingerprint": "f", "left_out": ["big"]}


async def test_what_is_at_stake_is_counted_when_it_is_asked_for() -> None:
    journal = Journaled(*READY)
    keeper = Asked(journal)
    found = await keeper.at_stake()
    assert (found.repositories, found.problem, found.cannot_save, found.saves) == (ONE, "", "", False)
    assert found.at > 0
    assert found.branch == keeper.branch
    assert journal.events == [WorkCounted(ONE)]
    keeper.says["count"] = SystemFailure("git hangs")
    again = await keeper.at_stake()
    assert (again.repositories, again.at, again.problem) == (ONE, found.at, "git hangs")


async def test_nothing_is_counted_or_saved_as_an_agent_that_is_frozen() -> None:
    keeper = Asked(Journaled(*READY), frozen=True)
    found = await keeper.at_stake()
    assert found.problem == "the agent is frozen, and git would run as the agent"
    assert found.cannot_save == "the sandbox is frozen, no data may leave it"
    assert (await keeper.save())[0].problem == found.cannot_save
    assert keeper.asked == []


async def test_without_a_repository_to_push_to_nothing_can_be_saved() -> None:
    keeper = Asked(Journaled(*READY), repo_url="")
    assert (await keeper.at_stake()).cannot_save == "REPO_URL is not set"
    assert (await keeper.save())[0].problem == "REPO_URL is not set"


async def test_a_save_that_is_asked_for_is_made_again_at_the_end() -> None:
    journal = Journaled(*READY)
    keeper = Asked(journal)
    keeper.says["save"] = PUSHED
    saved, stake = await keeper.save()
    assert saved == stake.saved == WorkSaved(keeper.branch, "abc", ("big",))
    assert (await keeper.at_stake()).saves
    keeper.drop()
    assert not (await keeper.at_stake()).saves


async def test_a_save_that_fails_says_why_each_time_and_promises_nothing() -> None:
    keeper = Asked(Journaled(*READY))
    keeper.says["save"] = SystemFailure("cannot push: no route")
    for _ in range(2):  # the journal has it once
        assert (await keeper.save())[0] == WorkSaved(keeper.branch, problem="cannot push: no route")
    assert not (await keeper.at_stake()).saves


async def test_a_stop_does_what_autosave_says_unless_the_operator_has_said_otherwise() -> None:
    keeper = Asked(Journaled(*READY), when=Save.EXIT)
    assert (await keeper.at_stake()).saves
    keeper.drop()
    assert not (await keeper.at_stake()).saves


async def test_at_the_end_it_is_said_where_the_work_is_also_if_nothing_is_new() -> None:
    """Who reads on from there, as `up` does, would take it for lost."""
    journal = Journaled(*READY)
    keeper = Asked(journal)
    keeper.says["save"] = PUSHED
    saved, _ = await keeper.save()
    journal.events.clear()
    keeper.says["save"] = {"commit": "", "fingerprint": "f"}
    await keeper._last_save(1.0)
    assert journal.events == [saved]


async def test_a_repeated_count_is_reported_with_its_time() -> None:
    """Readers show the age of the numbers, which would otherwise be unknown while they do not change."""
    journal = Journaled(*READY)
    keeper = Asked(journal)
    await keeper.at_stake()
    await keeper.at_stake()
    assert journal.events == [WorkCounted(ONE), WorkRecounted()]
    keeper.says["count"] = SystemFailure("git hangs")
    await keeper.at_stake()
    assert WorkRecounted() not in journal.events[2:]
