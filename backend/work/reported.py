"""Reads the output of a process with the agent's uid, which the agent can tamper with: checks its form and truncates it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backend.contract.events import Occasion, RepositoryWork, SinceSave, WorkCounted, build
from backend.work.place import MAX_REPOSITORIES

MAX_TEXT = 300
MAX_COUNT = 1_000_000_000


def parsed(result: Mapping[str, Any], occasion: Occasion) -> WorkCounted:
    """Builds the event from the output of `work count`, truncated. Raises ValueError if the output is invalid."""
    try:
        counted: WorkCounted = build(
            WorkCounted,
            {"repositories": result.get("repositories", ()), "occasion": occasion, "since": result.get("since")},
        )
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"invalid count: {error}") from error
    since = counted.since and SinceSave(
        counted.since.commit[:64], _number(counted.since.commits), _number(counted.since.files),
        _number(counted.since.untracked), _number(counted.since.stashes), counted.since.more,
    )  # fmt: skip
    repositories = tuple(_cut(work) for work in counted.repositories[:MAX_REPOSITORIES])
    return replace(counted, repositories=repositories, since=since)


def _number(value: int) -> int:
    return min(max(0, value), MAX_COUNT)


def _cut(work: RepositoryWork) -> RepositoryWork:
    return RepositoryWork(
        work.path[:MAX_TEXT], work.branch[:MAX_TEXT], _number(work.commits), _number(work.files), _number(work.untracked),
        _number(work.stashes), work.more, tuple(note[:MAX_TEXT] for note in work.notes[:MAX_REPOSITORIES]),
    )  # fmt: skip


def text(result: Mapping[str, Any], key: str) -> str:
    value = result.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string")
    return value
