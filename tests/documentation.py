"""The parts of the documentation that are derived from the code, between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.

`make docs` (python -m tests.documentation) writes them; tests/unit/test_documentation.py fails where they are not as written.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

from backend.contract import events
from backend.variables import VARIABLES, Variable

ROOT = Path(__file__).parents[1]


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), line(("---",) * len(head)), *map(line, rows)])


def variables() -> str:
    def default(variable: Variable) -> str:
        if variable.default is None:
            return "**required**"
        return f"`{variable.default}`" if variable.default else ""

    rows = ((f"`{v.name}`", v.meaning, v.expected, default(v)) for v in VARIABLES)
    return table(("Variable", "Meaning", "Expected", "Default"), rows)


def kinds() -> str:
    return table(
        ("Kind", "Fields", "Meaning"), ((f"`{kind}`", fields(cls), meaning(cls)) for kind, cls in events.KINDS.items())
    )


def fields(cls: type[events.Event]) -> str:
    hints = typing.get_type_hints(cls)
    return ", ".join(f"`{field.name}` {kind(hints[field.name])}" for field in dataclasses.fields(cls))


def kind(hint: Any) -> str:
    """What a field is in JSON."""
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint.__name__
    if typing.get_origin(hint) is tuple:
        return "list"
    return {str: "text", int: "integer", float: "number", bool: "true/false"}.get(hint, "object")


def meaning(cls: type[Any]) -> str:
    """The docstring, on one line. A dataclass without one has its own signature there, which says nothing more."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return "" if text.startswith(f"{cls.__name__}(") else " ".join(text.split())


def words() -> str:
    enums = (events.Outcome, events.BootState, events.ServiceState, events.SessionState, events.Via, events.Reason)
    return table(("Word", "Values"), ((enum.__name__, ", ".join(f"`{value}`" for value in enum)) for enum in enums))


BLOCKS: dict[str, Callable[[], str]] = {"variables": variables, "kinds": kinds, "words": words}


def filled(text: str) -> str:
    """A document with its derived blocks as they have to be. Raises KeyError for a block that nobody knows."""
    return re.sub(
        r"(<!-- (\w+): begin -->\n).*?(<!-- \2: end -->)",
        lambda found: f"{found[1]}{BLOCKS[found[2]]()}\n{found[3]}",
        text,
        flags=re.DOTALL,
    )


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob(".github/*.md"))]


def main() -> None:
    for document in documents():
        before = document.read_text()
        if (after := filled(before)) != before:
            document.write_text(after)
            print(f"{document.relative_to(ROOT)}: written anew")


if __name__ == "__main__":
    main()
