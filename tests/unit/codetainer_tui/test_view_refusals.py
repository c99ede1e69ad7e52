"""Refusals as rows: grouping, what can be allowed, muted and new rows."""

from dataclasses import replace

import pytest

from backend.contract import events as e
from backend.contract.events import Reason, Refused, Via
from backend.contract.state import fold_all
from codetainer_tui.view import View, view
from tests.journals.make import BEGUN
from tests.unit.codetainer_tui.test_view import seen


def refused(*events: e.Event) -> View:
    return seen(fold_all(e.Stamped(BEGUN + n, n, event) for n, event in enumerate(events)))


TELEMETRY = Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "telemetry.example.net", program="node")


def test_rows_are_grouped_and_the_latest_is_first() -> None:
    found = refused(TELEMETRY, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "b.example"), TELEMETRY).refused
    assert [(row.what, row.times) for row in found] == [("telemetry.example.net", "4"), ("b.example", "1")]


ALLOWED: list[tuple[Refused, str, str]] = [
    (TELEMETRY, "telemetry.example.net read", ""),
    (Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "a.example", detail="TXT"), "a.example read", ""),
    (Refused(Via.FIREWALL, Reason.PORT_NOT_LISTED, 1, "tcp", "a.example", "192.0.2.1", 8443), "a.example:8443", ""),
    (Refused(Via.GATE, Reason.REQUEST, 1, "tcp", "a.example", "192.0.2.1", 443, detail="POST:/x/*"), "a.example POST:/x/*", ""),
    (Refused(Via.GATE, Reason.REQUEST, 1, "tcp", "a.example", "192.0.2.1", 443, detail="FETCH:/x"), "", "grants other"),
    (Refused(Via.FIREWALL, Reason.NEVER_RESOLVED, 1, "tcp", "", "192.0.2.1", 22), "", "Connect by name"),
    (Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", "169.254.169.254", 80), "", "never opened"),
    (Refused(Via.FIREWALL, Reason.NOT_TCP, 1, "udp", "", "192.0.2.1", 53), "", "Use TCP"),
    (Refused(Via.FIREWALL, Reason.IPV6, 1, "tcp", "", "2001:db8::1", 443), "", "IPv6"),
    (Refused(Via.GATE, Reason.NOT_OURS, 1, "tcp", "api.anthropic.com"), "", "Only the operator's credentials"),
    (Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "\x1b[31m.example"), "", "No entry of the allowlist can open it"),
    (Refused(Via.FIREWALL, Reason.NOT_LISTED, 1, "", "other destinations"), "", "only the number of these refusals is known"),
]


@pytest.mark.parametrize(("event", "entry", "cannot"), ALLOWED, ids=lambda value: str(getattr(value, "name", "")) or None)
def test_a_row_has_an_entry_or_the_reason_why_it_cannot_be_allowed(event: Refused, entry: str, cannot: str) -> None:
    row = refused(event).refused[0]
    assert row.entry == entry
    assert cannot in row.cannot
    assert bool(row.cannot) is not bool(row.entry)


def test_an_allowed_row_shows_its_expiry() -> None:
    row = refused(TELEMETRY, e.Allowed("telemetry.example.net", until=BEGUN + 3600)).refused[0]
    assert row.why == "allowed until 15:00"
    assert refused(TELEMETRY, e.Allowed("*.example.net")).refused[0].why == "allowed until you close it"
    assert refused(TELEMETRY, e.Allowed("example.net")).refused[0].why == "not on the allowlist"
    assert refused(TELEMETRY, e.Allowed("telemetry.example.net", until=BEGUN + 1)).refused[0].why == "not on the allowlist"


PORT = Refused(Via.FIREWALL, Reason.PORT_NOT_LISTED, 1, "tcp", "telemetry.example.net", "192.0.2.1", 1199)
OPENED: list[tuple[Refused, tuple[e.Allowed, ...], str]] = [
    (PORT, (e.Allowed("telemetry.example.net"),), "port not listed"),
    (PORT, (e.Allowed("telemetry.example.net", "443,8443/tls"), e.Allowed("*.example.net", "22")), "port not listed"),
    (PORT, (e.Allowed("telemetry.example.net", "1199"),), "allowed until you close it"),
    (PORT, (e.Allowed("*.example.net", "1199", BEGUN + 60), e.Allowed("telemetry.example.net", "", BEGUN + 3600)),
     "allowed until 14:01"),
    (TELEMETRY, (e.Allowed("telemetry.example.net", "8443", BEGUN + 60),), "allowed until 14:01"),
    (TELEMETRY, (e.Allowed("telemetry.example.net", "443", BEGUN + 60), e.Allowed("telemetry.example.net", "80", BEGUN + 3600)),
     "allowed until 15:00"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "allowed", "words"), OPENED)
def test_a_row_is_allowed_only_if_its_port_is(event: Refused, allowed: tuple[e.Allowed, ...], words: str) -> None:
    row = refused(event, *allowed).refused[0]
    assert row.why == words
    assert bool(row.opened_by) is words.startswith("allowed")


def test_muted_refusals_are_counted_but_not_shown() -> None:
    found = refused(TELEMETRY, e.Muted("telemetry.example.net"))
    assert found.refused == ()
    assert found.refused_summary == "2 in the last hour   1 muted"
    assert refused(TELEMETRY, e.Muted("telemetry.example.net", BEGUN + 1)).refused != ()


def test_the_filter_and_pending_requests() -> None:
    found = fold_all([e.Stamped(BEGUN, 1, TELEMETRY)])
    assert view(found, BEGUN, wanted="NODE").refused
    assert not view(found, BEGUN, wanted="curl").refused
    assert view(found, BEGUN, pending={TELEMETRY.key: "asking …"}).refused[0].why == "asking …"


def test_rows_are_new_if_they_came_after_the_last_look() -> None:
    found = fold_all([e.Stamped(BEGUN, 1, TELEMETRY)])
    assert view(found, BEGUN, seen_at=BEGUN - 1).refused[0].new
    assert not view(found, BEGUN, seen_at=BEGUN).refused[0].new


def test_the_bars_end_now_and_rise_for_a_single_refusal() -> None:
    found = fold_all(
        [e.Stamped(BEGUN - 360, 1, replace(TELEMETRY, count=1)), e.Stamped(BEGUN, 2, replace(TELEMETRY, count=999))]
    )
    assert view(found, BEGUN).spark == "▁" * 17 + "▂▁█"
    assert view(found, BEGUN + 7200).spark == ""
