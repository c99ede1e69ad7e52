"""Every cell of the table in docs/clients.md: real clients, behind the real gate, at a host that behaves as real ones do."""

from __future__ import annotations

import difflib

import pytest

from tests.netns.clients.measure import Measured, measure
from tests.netns.clients.programs import programs
from tests.netns.clients.table import DOCUMENT, filled, problems

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("table")
    return measure(folder, programs(folder))


def test_every_cell_has_an_outcome_or_a_reason(measured: Measured) -> None:
    assert problems(measured) == []


def test_the_document_has_the_measured_table(measured: Measured) -> None:
    """`make clients` updates it."""
    before = DOCUMENT.read_text()
    after = filled(before, measured)
    assert before == after, "\n".join(
        difflib.unified_diff(before.splitlines(), after.splitlines(), "docs", "measured", lineterm="")
    )
