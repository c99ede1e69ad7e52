"""Generates the parts of the documentation between `<!-- NAME: begin -->` and `<!-- NAME: end -->` from the code.

`make docs` (python -m tests.documentation) writes them; tests/unit/test_documentation.py fails if they are out of date.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import time
import typing
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

from backend.boot.plan import OnFailure
from backend.boot.steps import plan
from backend.contract import control, events
from backend.contract.state import fold_all
from backend.contract.traffic import Connection
from backend.settings import VARIABLES, ways_file
from backend.settings.variable import Variable
from codetainer_tui.dashboard.keys import ACTIONS, Action
from codetainer_tui.journal import follow
from codetainer_tui.metrics import exposition
from codetainer_tui.report.content import Report, report, text
from codetainer_tui.report.page import page
from network.gate.ways import Verdict, Way
from tests import journals
from tests.journals import counted, make

ROOT = Path(__file__).parents[1]


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), line(("---",) * len(head)), *map(line, rows)])


# The variables that README.md lists; docs/configuration.md lists all.
ESSENTIAL = ("GH_PAT", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "REPO_URL", "CLAUDE_PROMPT", "CODETAINER_EXTRA_DOMAINS")


def default(variable: Variable) -> str:
    if variable.default is None:
        return "**required**"
    return f"`{variable.default}`" if variable.default else ""


def variables() -> str:
    def expected(variable: Variable) -> str:
        example = f"`{variable.example}`" if variable.example else ""
        return ", as in ".join(part for part in (variable.expected, example) if part)

    rows = ((f"`{v.name}`", v.meaning, expected(v), default(v)) for v in VARIABLES)
    return table(("Variable", "Meaning", "Expected", "Default"), rows)


def essentials() -> str:
    rows = ((f"`{v.name}`", v.meaning, default(v)) for v in VARIABLES if v.name in ESSENTIAL)
    return table(("Variable", "Meaning", "Default"), rows)


def boot_graph() -> str:
    """The dependency graph of the boot steps, without arrows that others imply. Dashed: boot degrades if the step fails."""
    steps = plan()
    needs = {step.name: set(step.needs) for step in steps}

    def all_needs(name: str) -> set[str]:
        return needs[name].union(*(all_needs(need) for need in needs[name]))

    lines = ["flowchart LR", *(f'  {step.name}["{step.title}"]' for step in steps)]
    for step in steps:
        implied = set().union(*(all_needs(need) for need in step.needs))
        lines += [f"  {need} --> {step.name}" for need in step.needs if need not in implied]
    lines.append("  classDef degrades stroke-dasharray: 4 3")
    lines.append(f"  class {','.join(step.name for step in steps if step.on_failure is OnFailure.DEGRADE)} degrades")
    return "\n".join(("```mermaid", *lines, "```"))


def boot_steps() -> str:
    failures = {OnFailure.HALT: "halts", OnFailure.DEGRADE: "degrades"}
    rows = (
        (f"`{s.name}`", s.title, ", ".join(f"`{need}`" for need in s.needs), f"{s.timeout:g} s", failures[s.on_failure])
        for s in plan()
    )
    return table(("Step", "Title", "Waits for", "At most", "Its failure"), rows)


def keys() -> str:
    def does(action: Action) -> str:
        of_up = action.of_up.removeprefix(f"{action.says}; ")
        return f"{action.says}. Under `codetainer up`: {of_up}" if of_up else action.says

    return table(("Key", "Name", "Does"), ((f"`{action.shown}`", f"`{action.name}`", does(action)) for action in ACTIONS))


def connection() -> str:
    return f"{fields(Connection)}\n\n{meaning(Connection)}"


def kinds() -> str:
    return table(
        ("Kind", "Fields", "Meaning"), ((f"`{kind}`", fields(cls), meaning(cls)) for kind, cls in events.KINDS.items())
    )


def fields(cls: type[Any]) -> str:
    hints = typing.get_type_hints(cls)
    return ", ".join(f"`{field.name}` {kind(hints[field.name])}" for field in dataclasses.fields(cls))


def kind(hint: Any) -> str:
    """The JSON type of a field, in the documentation's words."""
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint.__name__
    if typing.get_origin(hint) is tuple:
        return "list"
    return {str: "text", int: "integer", float: "number", bool: "true/false"}.get(hint, "object")


def meaning(cls: type[Any]) -> str:
    """The docstring, on one line; "" for a dataclass without one, whose __doc__ is only its signature."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return "" if text.startswith(f"{cls.__name__}(") else " ".join(text.split())


def words() -> str:
    """The values of every enum that an event's fields use."""
    hints = (hint for cls in events.KINDS.values() for hint in typing.get_type_hints(cls).values())
    enums = dict.fromkeys(hint for hint in hints if isinstance(hint, type) and issubclass(hint, StrEnum))
    return table(("Word", "Values"), ((enum.__name__, ", ".join(f"`{value}`" for value in enum)) for enum in enums))


def metrics() -> str:
    """One row for each metric family. A counter's samples end in _total, an info's in _info."""
    endings = {"counter": "_total", "info": "_info"}
    rows = []
    for family in exposition.families(counted.tally()):
        labels = ", ".join(f"`{label}`" for label in family.samples[0].labels) if family.type != "info" else ""
        rows.append((f"`{family.name}{endings.get(family.type, '')}`", family.type, labels, family.documentation))
    return table(("Name", "Type", "Labels", "Meaning"), rows)


def requests() -> str:
    rows = ((f"`{cls.usage()}`", cls.description()) for cls in control.VERBS.values() if not cls.internal)
    return table(("Verb", "Does"), rows)


def permitted_ways() -> str:
    """One row for each way to write at GitHub that is open, with its requests."""

    def requests_of(way: Way) -> str:
        hosts = {"api.github.com": "", "github.com": "git: ", "uploads.github.com": "uploads: "}
        shown = [f"{hosts[one.host]}`{one.method} {one.path.removeprefix('PUSH/')}`" for one in way.requests]
        return ", ".join([*shown, *(f"`{name}`" for name in way.mutations)])

    ways = [way for way in ways_file.read().ways if way.verdict is Verdict.SCOPE]
    return table(("Way", "Lets out", "Reason", "Requests"), ((w.name, w.lets_out, w.why, requests_of(w)) for w in ways))


def refused_ways() -> str:
    """One row for each way to write at GitHub that is closed, with examples, and for reads with a side effect."""

    def examples(way: Way) -> str:
        paths = dict.fromkeys(one.path.removeprefix("PUSH/") for one in way.requests)
        return ", ".join(f"`{text.replace('PUSH', 'OWNER/REPO')}`" for text in (*paths, *way.mutations) if text)

    ways = [way for way in ways_file.read().ways if way.verdict is not Verdict.SCOPE]
    rows = ((w.name, str(w.verdict), w.lets_out, w.why, examples(w)) for w in ways)
    return table(("Way", "Verdict", "Would let out", "Reason", "Examples"), rows)


NIGHT_PAGE = ROOT / "docs/night.html"


def night_report() -> str:
    """The report of a recorded night, as text."""
    return f"```text\n{text(_night())}```"


def night_page() -> str:
    """The same report as an HTML page, docs/night.html."""
    return page(_night())


def _night() -> Report:
    state = fold_all(follow(Path(journals.__file__).with_name("night.jsonl"), going_on=lambda: False))
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        return report(state, state.updated_at, task=make.PROMPT.decode())
    finally:
        os.environ.pop("TZ") if zone is None else os.environ.update(TZ=zone)
        time.tzset()


BLOCKS: dict[str, Callable[[], str]] = {
    "boot_graph": boot_graph,
    "boot_steps": boot_steps,
    "connection": connection,
    "essentials": essentials,
    "keys": keys,
    "kinds": kinds,
    "metrics": metrics,
    "night_report": night_report,
    "permitted_ways": permitted_ways,
    "refused_ways": refused_ways,
    "requests": requests,
    "variables": variables,
    "words": words,
}


def filled(text: str) -> str:
    """Returns a document with its generated blocks up to date. Raises KeyError for an unknown block."""
    return re.sub(
        r"(<!-- (\w+): begin -->\n).*?(<!-- \2: end -->)",
        lambda block: f"{block[1]}{BLOCKS[block[2]]()}\n{block[3]}",
        text,
        flags=re.DOTALL,
    )


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob(".github/*.md"))]


def main() -> None:
    for document in documents():
        before = document.read_text()
        if (after := filled(before)) != before:
            document.write_text(after)
            print(f"{document.relative_to(ROOT)}: updated")
    NIGHT_PAGE.write_text(night_page())


if __name__ == "__main__":
    main()
