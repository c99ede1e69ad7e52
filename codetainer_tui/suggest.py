"""`codetainer suggest`: lines for domains.conf from what was refused."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass, field

from backend.contract.paths import Paths
from backend.contract.state import State
from codetainer_tui.refusal import entry, listable_name
from codetainer_tui.state import current
from codetainer_tui.words import harmless, many


@dataclass(slots=True)
class _Wanted:
    count: int = 0
    ports: set[int] = field(default_factory=set)
    programs: set[str] = field(default_factory=set)


def lines(state: State) -> list[str]:
    """One line a name, the most refused first, each with a comment that says how often and by whom."""
    wanted: dict[str, _Wanted] = defaultdict(_Wanted)
    for refusal in state.refusals.values():
        name = listable_name(refusal.latest)
        if name and name not in state.allowed:
            found = wanted[name]
            found.count += refusal.count
            found.ports.add(refusal.latest.port)
            found.programs |= {refusal.latest.program} - {""}
    rows = sorted(wanted.items(), key=lambda item: (-item[1].count, item[0]))
    width = max((len(entry(name, found.ports)) for name, found in rows), default=0)
    return [
        f"{entry(name, found.ports):<{width}}  # refused {many(found.count, 'time')}"
        + (f", by {harmless(', '.join(sorted(found.programs)), 80)}" if found.programs else "")
        for name, found in rows
    ]


def suggest(paths: Paths) -> int:
    """Exit code 0, also where there is nothing to suggest; 2 without a journal."""
    if not paths.journal.exists():
        sys.stderr.write("codetainer: there is no journal here: no sandbox has booted\n")
        return 2
    found = lines(current(paths))
    if not found:
        sys.stderr.write("codetainer: nothing was refused that an entry of domains.conf could allow\n")
    sys.stdout.writelines(line + "\n" for line in found)
    return 0
