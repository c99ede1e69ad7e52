"""What has come back from a sandbox of `codetainer up --work`, and the text about it for the operator. Pure.

The agent chose branches and reasons, so everything is escaped and quoted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from backend.contract import shell

MAX_BRANCHES = 500  # refs that one sandbox may make: no agent floods the repository with them
MAX_NOTES = 20
MAX_SHOWN = 10
MAX_PROBLEMS = 5
HEADS = "refs/heads/"
DETACHED = "HEAD"  # how the agent's side names a detached HEAD
# Hooks and fsmonitor of the operator's own configuration may name files of the work tree (husky): the agent's files here.
SAFE_GIT = "git -c core.hooksPath=/dev/null -c core.fsmonitor=false"


class Refused(Exception):
    """The stream was not taken. The text says why; the repository is unchanged. `branches`: those that it had."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.branches: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Target:
    """The operator's repository. `handed` are the commits that the sandbox was given. `most`: bytes of a pack."""

    folder: Path
    sandbox: str
    handed: Sequence[str]
    kind: str = "sha1"
    most: int = 1 << 30
    seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Returned:
    """A branch that has come back: the operator's ref, and its commit."""

    ref: str
    commit: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one stream. `returned`: branches that were written; `seen`: all that need no other round."""

    returned: Mapping[str, Returned] = field(default_factory=dict)
    seen: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)  # branches that did not come back, and their commits
    kept: Sequence[str] = ()  # refs with commits that the agent has replaced since
    more: int = 0
    notes: Sequence[str] = ()
    created: int = 0  # refs that did not exist
    size: int = 0  # bytes of the pack


@dataclass(slots=True)
class WayBack:
    """`returned`: by the agent's branch. `kept`: refs of commits that the agent replaced. `packs`, `size`: number, bytes."""

    returned: dict[str, Returned] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    created: int = 0
    packs: int = 0
    size: int = 0
    more: int = 0

    def add(self, result: Result) -> None:
        self.returned |= result.returned
        self.kept += result.kept
        self.created += result.created
        self.packs += bool(result.returned)
        self.size += result.size if result.returned else 0
        self.more = result.more
        for note in result.notes:
            self.failed(note)

    def failed(self, problem: str) -> None:
        """Notes a problem, each only once, the latest last."""
        self.problems = [*(known for known in self.problems if known != problem), problem][-MAX_PROBLEMS:]

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> WayBack:
        loaded = cls(**json.loads(data))
        loaded.returned = {name: Returned(**one) for name, one in json.loads(data)["returned"].items()}
        return loaded

    def text(self, folder: Path) -> str:
        """Lines for the operator at the end of `up`; "" if nothing has come back and nothing went wrong."""
        branches = sorted({one.ref.removeprefix(HEADS) for one in self.returned.values()})
        lines = [f"commits came back to {folder}: {_listed(branches)}"] if branches else []
        if self.kept:
            lines.append(
                f"commits that the agent has replaced since: {_listed([ref.removeprefix(HEADS) for ref in self.kept])}"
            )
        if self.more:
            lines.append(f"branches left out because there are too many: {self.more}")
        lines += [f"not everything came back: {problem}" for problem in self.problems]
        told = "".join(f"codetainer: {_plain(line)}\n" for line in lines)
        if branches:
            told += "".join(f"  {line}\n" for line in recipe(folder, branches[0]))
        return told


def recipe(folder: Path, branch: str) -> list[str]:
    """How to read and merge a branch. None of the commands runs a program of the agent's or overwrites an ignored file.

    `git merge` overwrites ignored files, such as a .env, with files of the same name that the agent has committed: git keeps no
    copy of them. Only a fast-forward can refuse that (--no-overwrite-ignore), so a real merge is made in a work tree beside.
    """
    word, beside = shell.word(branch), shell.word(f"../{folder.name}-merged")
    aside, merged = f"{SAFE_GIT} worktree add --detach {beside} HEAD", f'"$(git -C {beside} rev-parse HEAD)"'
    forward = f"{SAFE_GIT} merge --ff-only --no-overwrite-ignore"
    return [
        f"Read them first: cd {shell.word(str(folder))} && git diff --no-ext-diff --no-textconv HEAD...{word}",
        f"Then, for example: {forward} {word}",
        f"If your branch has moved on: {aside} && {SAFE_GIT} -C {beside} merge {word} && {forward} {merged}",
        "This overwrites no ignored file, such as .env, and runs no hook.",
    ]


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_SHOWN
    return ", ".join(shell.word(name) for name in names[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _plain(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]
