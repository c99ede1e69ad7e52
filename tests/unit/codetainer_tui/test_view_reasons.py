"""Reasons on screen: of names without an address, and of serious refusals."""

from __future__ import annotations

import pytest

from backend.contract import events as e
from backend.contract.events import Reason, Refused, Via
from codetainer_tui.dashboard.draw.refused import WIDE, columns
from codetainer_tui.view import Condition
from tests.unit.codetainer_tui.test_view import seen, state
from tests.unit.codetainer_tui.test_view_refusals import refused

REASON = "blocked by the resolver (0.0.0.0)"


@pytest.mark.parametrize(
    ("name", "words", "condition"),
    [
        ("api.anthropic.com", f"api.anthropic.com has no address: {REASON}", Condition.DEGRADED),
        ("other.example", "the agent is waiting for you since 16:06", Condition.READY),
    ],
)
def test_without_an_address_for_claude_the_sandbox_is_degraded(name: str, words: str, condition: Condition) -> None:
    head = seen(state("ready", e.ListMeasured(2, 0, 0, 0, {name: 1.0}, {name: REASON}))).headline
    assert (head.text, head.condition) == (words, condition)


def test_names_without_an_address_are_shown_with_the_reason_and_claude_first() -> None:
    found = state("ready")
    failing = {"a.example": found.updated_at - 60, "api.anthropic.com": found.updated_at - 60}
    reasons = {"a.example": "does not exist (NXDOMAIN)", "api.anthropic.com": REASON}
    shown = seen(state("ready", e.ListMeasured(5, 2, 0, 0, failing, reasons, 3)))
    (block,) = [block for block in shown.blocks if "without an address" in block.title]
    assert block.lines == (f"api.anthropic.com: {REASON}, for 1 min", "a.example: does not exist (NXDOMAIN), for 1 min")
    (row,) = [row for row in shown.rows if "3 not resolved yet" in row.cells]
    assert "2 without an address" in row.cells


def test_the_details_of_a_serious_row_do_not_contradict_themselves() -> None:
    another = Refused(Via.GATE, Reason.ANOTHER_SITE, 1, "tcp", "bad.example.net", "198.51.100.1", 443)
    full = refused(another).refused[0].full
    assert "serious: find out why the agent does this before you allow the name" in full
    assert full[-1] == "if you trust it, line for domains.conf: bad.example.net read"
    full = refused(Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", "169.254.169.254", 80)).refused[0].full
    assert "serious: no entry of the allowlist can permit this" in full
    assert not any("domains.conf" in line for line in full)


def test_reasons_fit_their_column_and_differ_on_narrow_screens() -> None:
    shown = [str(reason) for reason in Reason]
    assert max(map(len, shown)) <= columns(WIDE, programs=True)[3]
    assert len({text[:19] for text in shown}) == len(shown)
