"""Collects the writes that passed the gate and that the host answered with success, for the journal."""

from __future__ import annotations

import re

from backend.contract.events import Wrote
from backend.services.service import Tally
from network.gate.written import LINK

MAX_EACH = 32  # different writes between two calls of `take`; the others are added up
# Links to what a host has created, of which only those of GitHub's API have a form for people.
_API = re.compile(r"https://api\.github\.com/repos/([\w.-]+/[\w.-]+)/(pulls|issues|releases)/(\d+)\Z", re.ASCII)
_PUSH = re.compile(r"push to ([\w.-]+/[\w.-]+): ([\w./-]+)\Z", re.ASCII)
_PAGES = {"pulls": "pull/{}", "issues": "issues/{}", "releases": "releases"}


class Writes:
    def __init__(self) -> None:
        self._writes: Tally[tuple[str, str]] = Tally(MAX_EACH)

    def add(self, name: str, detail: str) -> None:
        """Counts a write to the host `name`; `detail` is from the gate's log."""
        self._writes.add((name, detail))

    def take(self) -> list[Wrote]:
        """Returns the writes since the last call."""
        writes, rest = self._writes.take()
        taken = [_event(name, detail, count) for (name, detail), count in writes.items()]
        return [*taken, Wrote("", f"{rest} more writes", count=rest)] if rest else taken


def _event(name: str, detail: str, count: int) -> Wrote:
    what, _, location = detail.partition(f" {LINK}")
    return Wrote(name, what, _link(name, what, location), count)


def _link(name: str, what: str, location: str) -> str:
    """The page for people, "" if none is known."""
    if name == "api.github.com" and (created := _API.match(location)):
        repository, kind, number = created.groups()
        return f"https://github.com/{repository}/{_PAGES[kind].format(number)}"
    if name == "github.com" and (pushed := _PUSH.match(what)):
        return f"https://github.com/{pushed[1]}/tree/{pushed[2]}"
    return ""
