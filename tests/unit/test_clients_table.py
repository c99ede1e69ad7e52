"""The table in docs/clients.md: every client has a result or a reason in every column, and the page shows what is stored."""

from __future__ import annotations

import datetime
import json

import pytest

from tests.netns.clients import stored
from tests.netns.clients.reasons import REASONS
from tests.netns.clients.rows import COLUMNS, ROWS
from tests.netns.clients.stored import NO, Row
from tests.netns.clients.versions import COMMANDS


def test_the_page_is_what_the_stored_results_render_to() -> None:
    document = stored.DOCUMENT.read_text()
    assert stored.rendered(stored.load()) in document
    assert stored.filled(document, stored.load()) == document, "run `make clients`"


def test_every_client_has_a_cell_in_every_column() -> None:
    assert stored.problems(stored.load()) == []
    assert [*stored.load()] == [client.key for client in ROWS]
    assert {key for key, _ in REASONS} <= {client.key for client in ROWS}
    assert {column for _, column in REASONS} <= COLUMNS.keys()


def test_every_reason_says_why_and_what_to_do() -> None:
    for reason in REASONS.values():
        assert reason.why.endswith(".")
        assert reason.remedy.endswith(".")


def test_every_result_has_its_date_and_versions() -> None:
    assert COMMANDS.keys() == {"haproxy", *(client.key for client in ROWS)}
    for row in stored.load().values():
        assert datetime.date.fromisoformat(row.date) > datetime.date(2026, 11, 1)
        assert row.version[0].isdigit()
        assert row.haproxy[0].isdigit()


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"redirect": NO}, "git: Redirect to itself, with a cookie: no, without a reason"),
        ({"redirect": ""}, "git: Redirect to itself, with a cookie: not run, without a reason"),
        ({"idle": "yes"}, "git: Idle for over an hour: yes, in spite of its reason"),
        ({"chunked": "maybe"}, "git: Chunked: 'maybe' is no result"),
        ({"chunked": None}, "git: Chunked: not measured"),
        ({"other": "yes"}, "git: other is no column"),
    ],
)
def test_a_cell_that_says_too_little_is_a_problem(cells: dict[str, str], problem: str) -> None:
    rows = dict(stored.load())
    good = rows["git"]
    rows["git"] = Row(good.date, good.version, good.haproxy, good.trust, {
        column: word for column, word in {**good.cells, **cells}.items() if word is not None
    })  # fmt: skip
    assert stored.problems(rows) == [problem]


def test_a_missing_row_and_another_authority_are_problems() -> None:
    rows = dict(stored.load())
    del rows["git"]
    rows["curl"] = Row(**{**json.loads(stored.FILE.read_text())["curl"], "trust": "nothing"})
    assert stored.problems(rows) == [
        "git: not measured", "curl: finds the gate's authority in nothing, expected the system's store"
    ]  # fmt: skip
