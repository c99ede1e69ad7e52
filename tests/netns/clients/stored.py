"""The stored results (measured.json), from which docs/clients.md is rendered. test_clients_table.py repeats some of them.

A cell says what the client does. NO and "" (the column does not apply) need a reason in REASONS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.documentation import table
from tests.netns.clients.reasons import REASONS
from tests.netns.clients.rows import COLUMNS, ROWS, SYSTEM

FILE = Path(__file__).with_name("measured.json")
DOCUMENT = Path(__file__).parents[3] / "docs/clients.md"
BLOCK = re.compile(r"(<!-- table of clients, begin: .*? -->\n).*?(<!-- table of clients, end -->)", re.DOTALL)
YES, NO, OLD = "yes", "no", "HTTP/1.1"
WORDS = frozenset((YES, OLD, "waits", "repeats", "reported"))  # of cells that work


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured for one client, on a day, with a version of the client and of HAProxy. `cells` are by column.

    `trust` is where it finds the gate's authority: a variable, or SYSTEM.
    """

    date: str
    version: str
    haproxy: str
    trust: str
    cells: Mapping[str, str]


Stored = Mapping[str, Row]  # by client


def load() -> Stored:
    return {client: Row(**row) for client, row in json.loads(FILE.read_text()).items()}


def save(rows: Stored) -> None:
    """Writes the rows in the order of the table."""
    ordered = {client.key: asdict(rows[client.key]) for client in ROWS if client.key in rows}
    FILE.write_text(json.dumps(ordered, indent=2) + "\n")


def problems(rows: Stored) -> list[str]:
    """Everything that the table cannot say: missing rows and cells, and cells without a reason, or in spite of one."""
    found = [f"{client.name}: not measured" for client in ROWS if client.key not in rows]
    for client in (client for client in ROWS if client.key in rows):
        row = rows[client.key]
        found += [f"{client.name}: {column} is no column" for column in row.cells.keys() - COLUMNS.keys()]
        for column, title in COLUMNS.items():
            word, reason = row.cells.get(column), REASONS.get((client.key, column))
            if word is None:
                found.append(f"{client.name}: {title}: not measured")
            elif word in ("", NO) and not reason:
                found.append(f"{client.name}: {title}: {word or 'not run'}, without a reason")
            elif word not in ("", NO) and reason:
                found.append(f"{client.name}: {title}: {word}, in spite of its reason")
            elif not set(word.split(" / ")) <= WORDS | {"", NO}:
                found.append(f"{client.name}: {title}: {word!r} is no result")
        if row.trust != client.trust:
            found.append(f"{client.name}: finds the gate's authority in {row.trust}, expected {client.trust}")
    return found


def rendered(rows: Stored) -> str:
    """The tables, and the reasons between them."""
    numbers: dict[str, int] = {}

    def shown(client: str, column: str) -> str:
        word = rows[client].cells[column]
        if reason := REASONS.get((client, column)):
            return f"{word or '-'} ({numbers.setdefault(str(reason), len(numbers) + 1)})"
        return word

    def details(client: str) -> tuple[str, ...]:
        row = rows[client]
        return row.version, row.date, row.haproxy, row.trust if row.trust == SYSTEM else f"`{row.trust}`"

    cells = [(client.name, *(shown(client.key, column) for column in COLUMNS)) for client in ROWS]
    notes = [f"{number}. {reason}" for reason, number in numbers.items()]
    first = table(("Client", *COLUMNS.values()), cells)
    second = table(
        ("Client", "Version", "Measured on", "With HAProxy", "Finds it in"),
        [(client.name, *details(client.key)) for client in ROWS],
    )
    return "\n".join((first, "", *notes, "", "## Where clients find the gate's authority", "", second, ""))


def filled(document: str, rows: Stored) -> str:
    """Returns the document with its tables up to date."""
    return BLOCK.sub(lambda block: f"{block[1]}{rendered(rows)}{block[2]}", document)
