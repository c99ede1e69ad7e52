"""Floods on screen and in text: few rows with exact counts, below serious refusals; the rest is counted."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

import pytest

from backend.contract import events as e
from backend.contract.events import Reason, Refused, Via
from backend.contract.refusals import MAX_CROWDS, MAX_REST, OTHER_DESTINATIONS, OTHER_NAMES, Severity
from backend.contract.state import State, fold_all
from codetainer_tui.dashboard import notify
from codetainer_tui.recommendation import wanted
from codetainer_tui.status import for_programs, text
from codetainer_tui.view import View, view
from codetainer_tui.view.refusals import FIRST_ALONE, IN_THE_LOG

CHANCE = random.Random(5)
SHAPES: dict[str, tuple[Callable[[int], str], int]] = {  # with the maximum number of rows
    "below a top-level domain": (lambda n: f"n{n}-{CHANCE.randrange(99999)}.dev", 1),
    "below one domain": (lambda n: f"{n:024x}.t.example.org", 1),
    "below some domains": (lambda n: f"h{n}.site{n % 37}.test", 7),
    "below very many domains": (lambda n: f"h{n}.site{n % 5000}.test", 7),
    "below many top-level domains": (lambda n: f"n{n}.x{n % 9973}", 2),
    "of one label": (lambda n: f"single{n}", 1),
}
FOUR = (
    Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", "169.254.169.254", 80),
    Refused(Via.GATE, Reason.NOT_OURS, 1, "tcp", "api.github.com", "198.51.100.11", 443),
    Refused(Via.GATE, Reason.PUSH_SCOPE, 1, "tcp", "github.com", "198.51.100.10", 443, detail="evil/repo"),
    Refused(Via.GATE, Reason.ANOTHER_SITE, 1, "tcp", "evil.test", "198.51.100.10", 443),
)


def dns(name: str, count: int = 1) -> Refused:
    return Refused(Via.DNS, Reason.NOT_LISTED, count, "dns", name)


def after(*events: e.Event, before: State | None = None) -> State:
    begin = before.updated_at + 1 if before else 1000.0
    return fold_all([e.Stamped(begin + n * 0.0001, n, event) for n, event in enumerate(events)], before)


def told(shown: View) -> tuple[int, int]:
    """Numbers of policy kinds and refusals, in rows and in the summary of the rest."""
    rows = [row for row in shown.refused if row.severity is Severity.POLICY or row.key.startswith("crowd ")]
    more = re.search(r"\+ ([0-9 ]+) more kind", shown.refused_summary)
    return sum(row.kinds for row in rows) + (int(more[1].replace(" ", "")) if more else 0), sum(row.count for row in rows)


@pytest.mark.parametrize("shape", SHAPES)
def test_fifty_thousand_names_are_few_rows_below_serious_refusals(shape: str) -> None:
    made, most = SHAPES[shape]
    names = [made(number) for number in range(50_000)]
    state = after(*FOUR, dns("needed.example", 7), *map(dns, names))
    shown = view(state, state.updated_at)
    serious = [row for row in shown.refused if row.severity is Severity.SERIOUS and not row.key.startswith("crowd ")]
    assert {row.key for row in serious} == {event.key for event in FOUR}
    alarms = [row.alarm for row in shown.refused]
    assert alarms == sorted(alarms, reverse=True)
    assert shown.headline.alarm == f"{shown.alarms} serious"
    assert shown.alarms >= 4
    assert told(shown) == (len(set(names)) + 1, 50_007)
    assert len(shown.refused) - len(serious) - 1 <= most, [row.what for row in shown.refused]
    assert "needed.example" in [row.what for row in shown.refused]
    line = text(shown, wanted(state, state.updated_at), operator=True)
    assert line.splitlines()[-1].startswith("try: codetainer allow needed.example --read --for 1h   (refused 7 times")
    body = json.loads(for_programs(shown))
    assert (body["serious"], body["refused"][0]["alarm"]) == (shown.alarms, True)


def test_the_summary_counts_kinds_without_a_row() -> None:
    """Quiet crowds were evicted hours ago."""
    old = after(*(dns(f"a{n}.x{n}") for n in range(MAX_CROWDS)))
    state = fold_all([e.Stamped(1e5 + n, n, dns(f"b{n}.y{n}")) for n in range(20)], old)
    shown = view(state, state.updated_at)
    kept = sum(row.kinds for row in shown.refused)
    assert kept < MAX_CROWDS + 20
    assert f"+ {MAX_CROWDS + 20 - kept} more kinds, in the log" in shown.refused_summary
    assert told(shown)[0] == MAX_CROWDS + 20


def test_dropped_kinds_are_counted_with_a_filter_too() -> None:
    state = after(*(dns(f"n{n}.flood.example") for n in range(1000)))
    shown = view(state, state.updated_at, wanted="n99")
    assert all("n99" in row.what for row in shown.refused)
    assert f"+ {1000 - state.refusals.kept} more kinds, in the log" in shown.refused_summary


def test_a_frequent_name_has_a_row_besides_its_crowd() -> None:
    again = [dns("again.flood.example"), *(dns(f"n{n}.flood.example") for n in range(40))]
    state = fold_all([e.Stamped(2000.0, 1, dns("again.flood.example"))], after(*again))
    shown = view(state, 2001.0)
    assert [(row.what, row.times) for row in shown.refused] == [
        ("again.flood.example", "2"), ("40 names below flood.example", "40"),
    ]  # fmt: skip


def test_muted_refusals_are_counted_once() -> None:
    state = after(e.Muted("n3.flood.example"), *(dns(f"n{n}.flood.example") for n in range(40)))
    shown = view(state, state.updated_at)
    assert [row.what for row in shown.refused] == ["39 names below flood.example"]
    assert "more kind" not in shown.refused_summary
    assert "1 muted" in shown.refused_summary


def scan(number: int) -> Refused:
    return Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", f"10.0.{number >> 8}.{number & 255}", 22)


@pytest.mark.parametrize(
    ("flood", "more", "alarm", "summary"),
    [
        (1000, "997 more", "1 004 serious", "1 004 kinds   1 004 refusals since "),
        (5000, f"at least {MAX_REST + 60:,} more".replace(",", " "), "2 115+ serious", "at least 2 115 kinds   5 004 refusals"),
    ],
)
def test_a_serious_flood_is_few_rows_and_its_first_kinds_have_their_own(
    flood: int, more: str, alarm: str, summary: str
) -> None:
    state = after(FOUR[0], *map(scan, range(flood)), *FOUR[1:])
    shown = view(state, state.updated_at)
    rows = [(row.what, row.count) for row in shown.refused if row.alarm]
    assert len(rows) == FIRST_ALONE + 1 + 3
    assert {event.key for event in FOUR} <= {row.key for row in shown.refused}
    (folded,) = (row for row in shown.refused if row.key.startswith("more "))
    last = scan(flood - 1).address
    assert folded.what == f"{more}, latest {last}:22"
    assert sum(count for _, count in rows) == flood + 4
    assert (shown.headline.alarm, shown.alarm_summary[: len(summary)]) == (alarm, summary)
    lines = text(shown, operator=True).splitlines()
    assert f"  {IN_THE_LOG}" in lines
    assert f"  {IN_THE_LOG}" not in text(view(after(*FOUR), 2000.0), operator=True).splitlines()


def test_many_tunnels_are_few_rows() -> None:
    state = after(*(dns(f"n{n}.t{n % 20}.example") for n in range(20 * 70)))
    shown = view(state, state.updated_at)
    rows = [row for row in shown.refused if row.alarm]
    assert len(rows) == FIRST_ALONE + 1
    assert (shown.alarms, sum(row.count for row in rows)) == (20, 1400)
    assert "16 more, latest 70 names below t19.example" in [row.what for row in rows]


def test_acknowledged_rows_move_down_and_are_marked() -> None:
    state = after(*FOUR, e.Acknowledged(2000.0, FOUR[0].key, "root"))
    shown = view(state, state.updated_at)
    assert (shown.alarms, len(shown.refused)) == (3, 4)
    last = shown.refused[-1]
    assert (last.why, last.alarm, last.severity) == ("acknowledged: private or metadata address", False, Severity.SERIOUS)


def test_mute_hides_no_serious_refusal() -> None:
    state = after(*FOUR, *(e.Muted(name) for name in ("169.254.169.254", "api.github.com", "github.com", "evil.test")))
    shown = view(state, state.updated_at)
    assert [row.alarm for row in shown.refused] == [True] * 4
    assert not any(row.muted for row in shown.refused)


@pytest.mark.parametrize("events", [[], [e.ProtectionFailed("x")], [e.Froze(True, "root")]])
def test_headline_title_and_one_line_form_count_serious_refusals(events: list[e.Event]) -> None:
    state = after(e.BootStarted("1", ()), e.BootFinished(e.BootState.READY, 1.0), *events, *FOUR)
    shown = view(state, state.updated_at)
    for line in (shown.title, shown.one_line, shown.full[0], text(shown, operator=True).splitlines()[0]):
        assert "4 serious" in line


# --- notifications ---


def test_a_serious_refusal_has_a_notification_that_names_the_first() -> None:
    before = after(dns("a.example"))
    flood = after(*FOUR, *(dns(f"n{n}.dev") for n in range(1000)), before=before)
    assert notify.alarm(before, flood) == "serious: refused 169.254.169.254:80: private or metadata address and 3 more"
    assert notify.news(before, flood).endswith(" and 999 more")
    assert "serious" not in notify.news(before, flood)
    seen = after(e.Acknowledged(9e9), before=flood)
    assert notify.alarm(flood, seen) == ""
    again = after(FOUR[1], before=seen)
    assert notify.alarm(seen, again) == "serious: refused api.github.com:443: foreign credential"
    tunnel = after(*(dns(f"n{n}.t.example.org") for n in range(100)), before=again)
    assert notify.alarm(again, tunnel) == "serious: looks like a tunnel: t.example.org"
    assert notify.alarm(tunnel, after(dns("n200.t.example.org"), before=tunnel)) == ""


def flood(state: State, count: int, seconds: float = 5.0) -> State:
    """Made-up names directly below `com`, as by a program that tries them all."""
    begin = state.updated_at + 60
    events = [e.Stamped(begin + n * seconds / count, n, dns(f"{n}-{CHANCE.randrange(99999)}.com", 2)) for n in range(count)]
    return fold_all(events, state)


@pytest.mark.parametrize("at", [(0.0, 5.0), (0.0,), (0.0, 0.5)])
def test_a_name_from_before_a_flood_keeps_its_row(at: tuple[float, ...]) -> None:
    """Refused twice, or once, before: on the dashboard, in status, and among the names that suggest recommends."""
    before = fold_all([e.Stamped(1000.0 + second, n, dns("updates.example.com")) for n, second in enumerate(at)])
    state = flood(before, 287)
    shown = view(state, state.updated_at)
    assert [(row.what, row.count) for row in shown.refused if row.kinds == 1] == [("updates.example.com", len(at))]
    assert "updates.example.com" in text(shown, operator=True)
    assert [one.name for one in wanted(state, state.updated_at)] == ["updates.example.com"]
    assert told(shown) == (288, len(at) + 2 * 287)


def test_a_name_that_is_asked_for_again_amid_a_flood_keeps_its_row() -> None:
    noise = [e.Stamped(1000.0 + n * 0.02, n, dns(f"{n}-{CHANCE.randrange(99999)}.com", 2)) for n in range(300)]
    asked = [e.Stamped(at, 1, dns("updates.example.com")) for at in (1001.0, 1004.0)]
    state = fold_all(sorted((*noise, *asked), key=lambda stamped: stamped.at))
    shown = view(state, state.updated_at)
    assert [(row.what, row.kinds) for row in shown.refused if row.kinds == 1] == [("updates.example.com", 1)]


def test_generated_names_from_before_a_flood_have_no_row() -> None:
    state = flood(after(dns("1a2b3c4d5e6f7a8b9c0d1e2f.com")), 287)
    assert [row.kinds for row in view(state, state.updated_at).refused] == [288]


def test_names_that_are_not_recorded_are_said_to_be_just_that() -> None:
    state = after(dns(OTHER_NAMES, 28), Refused(Via.FIREWALL, Reason.NOT_LISTED, 3, "", OTHER_DESTINATIONS))
    rows = {row.what: row for row in view(state, state.updated_at).refused}
    assert list(rows) == ["more destinations than are recorded", "more names than are recorded"]
    names = rows["more names than are recorded"]
    assert (names.name, names.count) == ("", 28)
    assert names.full[-1] == "too many came in one second: only the number of these refusals is known, not what they were for"


def test_acknowledged_refusals_do_not_crowd_out_current_ones() -> None:
    serious = [Refused(Via.FIREWALL, Reason.PRIVATE, 2, "tcp", "", f"10.0.0.{n}", 80) for n in range(6)]
    state = after(dns("first.example"), dns("second.example"), *serious)
    state = fold_all([e.Stamped(state.updated_at + 1, 1, e.Acknowledged(state.updated_at))], state)
    shown = view(state, state.updated_at)
    assert [row.what for row in shown.refused[:2]] == ["second.example", "first.example"]
    lines = text(shown, operator=True).splitlines()
    assert sum(".example" in line for line in lines) == 2
    assert "  6 acknowledged serious kinds (12 refusals): codetainer logs --serious" in lines
    assert not any("10.0.0" in line for line in lines)
