"""A flood of related refusals is one row and hides no other."""

from __future__ import annotations

from backend.contract.events import Reason, Refused, Stamped, Via
from backend.contract.refusals import MAX_OF_A_CROWD
from backend.contract.state import State, fold_all
from codetainer_tui.view import view
from codetainer_tui.view.crowds import MAX_ALONE


def scan(count: int) -> list[Refused]:
    return [Refused(Via.FIREWALL, Reason.NEVER_RESOLVED, 2, "tcp", "", f"203.0.113.{n}", n, 1000) for n in range(count)]


def tunnel(count: int) -> list[Refused]:
    return [Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", f"x{n}.exfil.example.net") for n in range(count)]


def after(*events: Refused) -> State:
    return fold_all([Stamped(1000.0 + number, number, event) for number, event in enumerate(events)])


def rows(state: State, wanted: str = "") -> list[tuple[str, str]]:
    return [(row.times, row.what) for row in view(state, 2000.0, wanted=wanted).refused]


def test_a_scan_and_a_tunnel_are_one_row_each_and_hide_nothing() -> None:
    state = after(Refused(Via.GATE, Reason.NOT_OURS, 1, "tcp", "api.example.com", "198.51.100.1", 443), *scan(90), *tunnel(40))
    assert rows(state) == [
        ("180", "90 addresses, latest 203.0.113.89:89"),
        ("1", "api.example.com:443"),
        ("40", "40 names below exfil.example.net"),
    ]


def test_few_refusals_have_a_row_each() -> None:
    assert len(rows(after(*scan(MAX_ALONE), *tunnel(MAX_ALONE)))) == 2 * MAX_ALONE


def test_the_filter_shows_members_individually() -> None:
    assert len(rows(after(*scan(20)), wanted="203.0.113")) == 20


def test_a_crowd_can_be_read_but_not_allowed_as_a_whole() -> None:
    (row,) = view(after(*tunnel(300)), 2000.0).refused
    assert row.cannot
    assert "x299.exfil.example.net" in "\n".join(row.full)
    assert row.full[-1] == f"and {300 - MAX_OF_A_CROWD} more, in the log"
