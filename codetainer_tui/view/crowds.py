"""Very many refusals of one kind (a scan, a tunnel through names) as one row, so that they hide no other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from backend.contract.events import Via
from backend.contract.state import RefusalView
from codetainer_tui.refusal import what, why
from codetainer_tui.view.parts import RefusedLine, Tone
from codetainer_tui.words import count, grouped, harmless, many, when

MOST_ALONE = 8  # so many of a kind have a row each
MOST_LISTED = 200
ONE_BY_ONE = "so many are shown, and dealt with, one by one under the filter"


def kind(view: RefusalView) -> str:
    """What makes a refusal one of many: addresses without a name by their reason, names by what they are below; else ""."""
    latest = view.latest
    if latest.via is Via.FIREWALL and not latest.name:
        return f"addresses  {latest.reason}"
    parent = latest.name.partition(".")[2]
    return f"names below {parent}" if latest.via is Via.DNS and "." in parent else ""


def crowds(views: Iterable[RefusalView]) -> Mapping[str, list[RefusalView]]:
    """The kinds of which there are too many, with their members, the latest first."""
    found = list(views)
    counts = Counter(kind(view) for view in found)
    members: dict[str, list[RefusalView]] = defaultdict(list)
    for view in found:
        name = kind(view)
        if name and counts[name] > MOST_ALONE:
            members[name].append(view)
    return members


def row(name: str, members: list[RefusalView], now: float, seen_at: float, repository: str) -> RefusedLine:
    """One row for all of them."""
    latest = members[0]
    said = f"{len(members)} {harmless(name.partition('  ')[0], 200)}"
    if latest.latest.via is Via.FIREWALL:
        said += f"  {what(latest.latest)} the last"
    total = sum(view.count for view in members)
    reason = why(latest.latest, repository)
    each = [f"{grouped(view.count):>7}  {what(view.latest)}" for view in members[:MOST_LISTED]]
    rest = [f"and {many(len(members) - MOST_LISTED, 'more', 'more')}"] if len(members) > MOST_LISTED else []
    full = (said, f"{reason}, {many(total, 'time')}", ONE_BY_ONE, *each, *rest)
    return RefusedLine(
        f"crowd {name}", "", "", "", ONE_BY_ONE, "", when(latest.last_at, now), count(total), said, reason, "", Tone.PLAIN,
        any(view.first_at > seen_at for view in members), full,
    )  # fmt: skip
