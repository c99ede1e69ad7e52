"""What fills a file system: its largest folders and files, found by du(1) as the agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backend import system, tmpfs
from backend.contract.events import Largest
from backend.system import AGENT, SystemFailure

SECONDS = 20.0  # for du
PAUSE = 60.0  # seconds between two looks at one file system
DEPTH = 4  # folders below the file system's own
MAX_SHOWN = 3
SMALLEST = 0.05  # of what is used: smaller ones are not listed
INSIDE = 0.8  # a folder is not listed if one part of it has this share: that part is


async def largest(place: Path, usage: tmpfs.Usage, *, files: bool) -> tuple[Largest, ...]:
    """Returns the largest parts of a file system, by bytes or by the number of `files`; () if they cannot be found.

    The last one has no path if deleted files are a large part of it: programs hold them open. Does not look into folders that
    the agent has closed to itself.
    """
    used = usage.inodes if files else usage.used
    count = ("--inodes",) if files else ("--block-size=1",)
    command = [
        "du",
        "--all",
        "--one-file-system",
        "--null",
        f"--max-depth={DEPTH}",
        f"--threshold={max(1, int(used * SMALLEST))}",
    ]
    try:
        done = await system.run_async([*command, *count, "--", str(place)], identity=AGENT, timeout=SECONDS, check=False)
    except SystemFailure:
        return ()
    sizes = parse(done.out)
    whole = sizes.pop(str(place), 0)
    found = chosen(sizes)
    if not done.code and not files and used - whole > used * SMALLEST:
        found.append((str(place), used - whole))
    return tuple(Largest(shown(path, place), 0 if files else amount, amount if files else 0) for path, amount in found)


def parse(text: str) -> dict[str, int]:
    """Parses the output of du with --null: amounts by path. The agent chose the names; anything else is left out."""
    rows = (row.partition("\t") for row in text.split("\0"))
    return {path: int(amount) for amount, tab, path in rows if tab and amount.isascii() and amount.isdigit()}


def chosen(sizes: dict[str, int]) -> list[tuple[str, int]]:
    """The largest paths, none inside another, each as deep as most of its contents."""
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], -len(item[0])))
    picked: list[tuple[str, int]] = []
    for path, amount in ranked:
        inside = any(other.startswith(f"{path}/") and size >= amount * INSIDE for other, size in ranked)
        if not inside and not any(_nested(path, other) for other, _ in picked):
            picked.append((path, amount))
    return picked[:MAX_SHOWN]


def _nested(one: str, other: str) -> bool:
    return one.startswith(f"{other}/") or other.startswith(f"{one}/")


def shown(path: str, place: Path) -> str:
    """A path relative to its file system, "" for the file system itself."""
    return path.removeprefix(str(place)).removeprefix("/")


@dataclass(slots=True)
class Lookout:
    """Looks for the largest parts of every file system that is nearly full, again after PAUSE seconds."""

    _found: dict[str, tuple[float, tuple[Largest, ...]]] = field(default_factory=dict)  # since when, by place

    async def of(self, places: Mapping[str, tuple[Path, tmpfs.Usage]], now: float) -> dict[str, tuple[Largest, ...]]:
        """Returns what was found, for each place (path and usage by name) that is nearly full. `now` in seconds."""
        for name, (place, usage) in places.items():
            crowded = (usage.crowded, usage.crowded_files)
            if not any(crowded):
                self._found.pop(name, None)
            elif name not in self._found or now - self._found[name][0] >= PAUSE:
                found = [await largest(place, usage, files=bool(files)) for files, short in enumerate(crowded) if short]
                self._found[name] = now, tuple(one for some in found for one in some)
        return {name: found for name, (_, found) in self._found.items() if found}
