"""The register of risks is complete and dated, and no number has been removed."""

import re
from datetime import date

import pytest

from tests.documentation import ROOT

REGISTER = (ROOT / "docs/accepted-risks.md").read_text()
FEWEST = 100


def rows(section: str, text: str = REGISTER) -> list[list[str]]:
    part = text.split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| R")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


OPEN, CLOSED = rows("Open"), rows("Closed")


def test_every_number_occurs_once_and_none_is_missing() -> None:
    numbers = sorted(int(row[0][1:]) for row in (*OPEN, *CLOSED))
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= FEWEST


@pytest.mark.parametrize("row", OPEN, ids=lambda row: str(row[0]))
def test_an_open_risk_has_reason_compensation_severity_and_date(row: list[str]) -> None:
    _, risk, why, compensates, severity, since = row
    assert risk and why and compensates
    assert severity in {"high", "medium", "low"}
    date.fromisoformat(since)


@pytest.mark.parametrize("row", CLOSED, ids=lambda row: str(row[0]))
def test_a_closed_risk_has_its_fix_and_dates(row: list[str]) -> None:
    _, risk, fix, since, closed = row
    assert risk and fix and date.fromisoformat(since) <= date.fromisoformat(closed)


def test_rows_reads_a_table() -> None:
    assert rows("Open", "## Open\n| Id | a |\n| --- | --- |\n| R7 | x \\| y |\n\n## Closed\n| R8 | z |\n") == [
        ["R7", "x \\| y"]
    ]
