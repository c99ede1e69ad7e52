"""The table of coverage by folder, made from coverage's JSON report."""

from __future__ import annotations

from typing import Any

from tests.cover import Row, by_folder, table


def measured(statements: int, missing: int, branches: int = 0, missing_branches: int = 0) -> dict[str, Any]:
    return {
        "summary": {
            "num_statements": statements,
            "missing_lines": missing,
            "num_branches": branches,
            "missing_branches": missing_branches,
        }
    }


REPORT = {
    "files": {
        "backend/system.py": measured(100, 30, 20, 0),
        "backend/boot/plan.py": measured(10, 0),
        "backend/lock.py": measured(30, 0),
        "backend/boot/__init__.py": measured(0, 0),
        "network/names.py": measured(40, 10, 10, 5),
    }
}


def test_each_folder_and_the_total_have_a_row() -> None:
    assert by_folder(REPORT) == [
        Row("backend", 2, 150, 30),
        Row("backend/boot", 2, 10, 0),
        Row("network", 1, 50, 15),
        Row("all", 5, 210, 45),
    ]


def test_the_table() -> None:
    assert table(by_folder(REPORT)).splitlines()[1:] == [
        "backend           2         150       30    80.0%",
        "backend/boot      2          10        0   100.0%",
        "network           1          50       15    70.0%",
        "all               5         210       45    78.6%",
    ]
    assert Row("empty", 1, 0, 0).percent == 100.0
