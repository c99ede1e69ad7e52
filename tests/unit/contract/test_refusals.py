"""Tables of refusals: two severities, bounded separately, with exact counts in any flood."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from backend.contract import events as e
from backend.contract.crowds import MANY, Suspicion, crowds_of, domain
from backend.contract.events import Acknowledged, Reason, Refused, Via
from backend.contract.refusals import (
    MAX_CROWDS,
    MAX_KEPT,
    MAX_OF_A_CROWD,
    MAX_REST,
    MAX_SERIOUS,
    OTHER_DESTINATIONS,
    OTHER_NAMES,
    QUIET_SECONDS,
    Refusals,
    Severity,
    severity,
)
from backend.contract.state import State, fold_all


def dns(name: str, count: int = 1) -> Refused:
    return Refused(Via.DNS, Reason.NOT_LISTED, count, "dns", name)


def dial(address: str, port: int = 443, reason: Reason = Reason.NEVER_RESOLVED) -> Refused:
    return Refused(Via.FIREWALL, reason, 1, "tcp", "", address, port, 1000)


METADATA = dial("169.254.169.254", 80, Reason.PRIVATE)
FOREIGN = Refused(Via.GATE, Reason.NOT_OURS, 1, "tcp", "api.github.com", "198.51.100.11", 443)
ELSEWHERE = Refused(Via.GATE, Reason.PUSH_SCOPE, 1, "tcp", "github.com", "198.51.100.10", 443, detail="evil/repo")
SITE = Refused(Via.GATE, Reason.ANOTHER_SITE, 1, "tcp", "evil.test", "198.51.100.10", 443)
FOUR = (METADATA, FOREIGN, ELSEWHERE, SITE)


def gathered(events: Iterable[Refused], before: Refusals | None = None, begin: float = 1000.0) -> Refusals:
    return (before or Refusals()).adding((event, begin + number * 0.001) for number, event in enumerate(events))


OF_THE_LIST = {
    Reason.NOT_LISTED, Reason.PORT_NOT_LISTED, Reason.NEVER_RESOLVED, Reason.NOT_TCP, Reason.IPV6, Reason.EXPIRED,
    Reason.FROZEN, Reason.NO_ADDRESS, Reason.BLOCKED, Reason.REQUEST,
}  # fmt: skip


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_a_severity(reason: Reason) -> None:
    assert severity(dial("192.0.2.1", reason=reason)) is (Severity.POLICY if reason in OF_THE_LIST else Severity.SERIOUS)


@pytest.mark.parametrize(
    ("address", "result"),
    [
        ("0.0.0.0", Severity.POLICY),
        ("192.168.7.7", Severity.POLICY),
        ("", Severity.SERIOUS),
        ("169.254.169.254", Severity.SERIOUS),
    ],
)
def test_private_addresses_of_allowlisted_names_are_policy_except_metadata(address: str, result: Severity) -> None:
    assert severity(Refused(Via.DNS, Reason.PRIVATE, 1, "dns", "inner.test", address)) is result


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("a.example.org", "example.org"), ("x.y.example.org.", "example.org"), ("EXAMPLE.org", "example.org"), ("dev", "dev"),
        ("a.example.co.uk", "example.co.uk"), ("co.uk", "co.uk"), ("t.co", "t.co"), ("x.t.co", "t.co"), ("", ""),
    ],
)  # fmt: skip
def test_the_registrable_domain(name: str, result: str) -> None:
    assert domain(name) == result


# --- floods of policy refusals ---

CHANCE = random.Random(11)
Name = Callable[[int], str]
SHAPES: dict[str, Name] = {
    "below a top-level domain": lambda n: f"n{n}-{CHANCE.randrange(99999)}.dev",
    "below one domain": lambda n: f"{n:024x}.t.example.org",
    "below many domains": lambda n: f"h{n}.site{n % 5000}.test",
    "below many top-level domains": lambda n: f"n{n}.x{n % 9973}",
    "of one label": lambda n: f"single{n}",
    "of every shape": lambda n: ".".join(f"{CHANCE.randrange(1 << 30):x}" for _ in range(CHANCE.randrange(1, 6))),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_fifty_thousand_names_hide_no_serious_refusal_and_are_counted_exactly(shape: str) -> None:
    names = [SHAPES[shape](number) for number in range(50_000)]
    before = gathered([*FOUR, *(dns("needed.example", 3) for _ in range(3))])
    after = gathered(map(dns, names), before, 2000.0)
    assert after.serious == before.serious
    assert [view.latest for view in after.serious.values()] == list(FOUR)
    assert after.kinds == len(set(names)) + 1
    assert sum(crowd.count for crowd in after.crowds.values()) == 50_000 + 9
    assert sum(crowd.kinds for crowd in after.crowds.values()) == after.kinds
    assert len(after.crowds) <= MAX_CROWDS + 4
    assert len(list(after.policy())) == after.kept <= MAX_KEPT
    assert dict(after.policy())[dns("needed.example").key].count == 9


def test_repeated_names_count_once_even_after_being_dropped() -> None:
    """Most of them are dropped before they come back."""
    names = [dns(f"n{number}.flood.example") for number in range(5000)]
    after = gathered(names * 4)
    (crowd,) = (crowd for key, crowd in after.crowds.items() if key == "names below flood.example")
    assert (after.kinds, crowd.kinds, crowd.count, after.kept) == (5000, 5000, 20_000, MAX_OF_A_CROWD)


def test_a_crowd_first_drops_kinds_that_came_only_once() -> None:
    after = gathered([dns("often.flood.example", 2), *(dns(f"n{number}.flood.example") for number in range(1000))])
    assert dns("often.flood.example").key in dict(after.policy())


def test_summed_up_refusals_have_a_row_of_their_own() -> None:
    after = gathered([dns(OTHER_NAMES, 12_000), *(dns(f"single{number}") for number in range(100)), dns(OTHER_NAMES, 500)])
    assert dict(after.policy())[dns(OTHER_NAMES).key].count == 12_500


def test_a_quiet_crowd_makes_room() -> None:
    before = gathered(dns(f"a.x{number}") for number in range(MAX_CROWDS * 2))
    assert "names below later" not in gathered([dns("a.later")], before).crowds
    after = gathered([dns("a.later")], before, 1000.0 + QUIET_SECONDS * 2)
    assert "names below later" in after.crowds
    assert len(list(after.policy())) == after.kept


# --- tunnels and scans ---

SUSPICIONS: list[tuple[str, Callable[[int], Refused], Suspicion]] = [
    ("names below t.example.org", lambda n: dns(f"{n}.t.example.org"), Suspicion.TUNNEL),
    ("names of two labels below one", lambda n: dns(f"{n}.x{n % 7}.example.org"), Suspicion.TUNNEL),
    ("names below a top-level domain", lambda n: dns(f"n{n}.dev"), Suspicion.NONE),
    ("names of addresses", lambda n: dns(f"{n}.2.0.192.in-addr.arpa"), Suspicion.NONE),
    ("addresses", lambda n: dial(f"192.0.2.{n}"), Suspicion.SCAN),
    ("ports of an address", lambda n: dial("192.0.2.1", n + 1), Suspicion.SCAN),
    ("ports of a name",
     lambda n: Refused(Via.FIREWALL, Reason.PORT_NOT_LISTED, 1, "tcp", "a.example", "192.0.2.1", n + 1), Suspicion.SCAN),
    ("one port of many names",
     lambda n: Refused(Via.FIREWALL, Reason.NOT_TCP, 1, "udp", f"n{n}.example", "192.0.2.1", 443), Suspicion.NONE),
]  # fmt: skip


@pytest.mark.parametrize(("what", "made", "suspicion"), SUSPICIONS, ids=[what for what, _, _ in SUSPICIONS])
def test_a_very_large_crowd_is_a_tunnel_or_a_scan(what: str, made: Callable[[int], Refused], suspicion: Suspicion) -> None:
    few = gathered(made(number) for number in range(MANY - 1))
    assert few.alarms == 0
    many = gathered((made(number) for number in range(2 * MANY)), few)
    assert {crowd.suspicion for crowd in many.crowds.values() if crowd.kinds} == {suspicion}
    assert many.alarms == bool(suspicion)


def test_noise_does_not_hide_a_tunnel() -> None:
    tunnel = gathered(dns(f"{number}.t.example.org") for number in range(MANY))
    noise = gathered((dns(SHAPES["of every shape"](number)) for number in range(20_000)), tunnel, 1000.0 + 2 * QUIET_SECONDS)
    after = gathered([dns("www.example.org")], noise, 1e6)
    assert after.crowds["names below example.org"].alarm


def test_the_crowds_of_refusals() -> None:
    assert crowds_of(dns("a.b.example.org")) == ("names below example.org", "names below org")
    assert crowds_of(dns("n1.dev")) == ("names below dev", "names below dev")
    assert crowds_of(replace(dns("a.b.test"), reason=Reason.PRIVATE))[0] == "names below b.test private or metadata address"
    assert crowds_of(dial("192.0.2.1")) == ("addresses no DNS lookup", "addresses no DNS lookup")


# --- floods of serious refusals ---


def test_a_flood_keeps_its_first_kinds_and_all_of_other_reasons() -> None:
    flood = [dial(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 22, Reason.PRIVATE) for number in range(50_000)]
    after = gathered([METADATA, *flood, FOREIGN, ELSEWHERE])
    kept = [view.latest for view in after.serious.values()]
    assert kept == [METADATA, *flood[: MAX_SERIOUS - 1], FOREIGN, ELSEWHERE]
    (more,) = after.more.values()
    assert more.count + len(kept) == 50_003
    assert (after.alarms, after.alarms_exact) == (len(kept) + MAX_REST, False)


def test_repeated_kinds_without_a_row_are_counted_exactly() -> None:
    scan = [dial(f"10.0.{number >> 8}.{number & 255}", 22, Reason.PRIVATE) for number in range(1000)]
    after = gathered([METADATA, *scan, *scan, FOREIGN])
    assert (after.alarms, after.alarms_exact) == (1002, True)
    seen = after.acknowledged(Acknowledged(1e9))
    again = gathered([*scan[500:510], *scan[500:510]], seen, 2e9)
    assert (seen.alarms, again.alarms, again.alarms_exact) == (0, 10, True)


def test_a_summed_up_refusal_makes_the_count_a_lower_bound() -> None:
    """The guard sums up refusals that are too many for one second."""
    summed = Refused(Via.FIREWALL, Reason.PRIVATE, 700, "", OTHER_DESTINATIONS)
    few = gathered([METADATA, summed])
    assert (few.alarms, few.alarms_exact) == (2, False)
    scan = [dial(f"10.0.{number >> 8}.{number & 255}", 22, Reason.PRIVATE) for number in range(100)]
    many = gathered([*scan, summed])
    assert (many.alarms, many.alarms_exact) == (101, False)
    assert many.acknowledged(Acknowledged(1e9)).alarms_exact


def test_an_acknowledged_kind_raises_no_alarm_until_it_comes_back() -> None:
    result = gathered(FOUR)
    one = result.acknowledged(Acknowledged(2000.0, METADATA.key))
    assert (result.alarms, one.alarms) == (4, 3)
    all_of_it = one.acknowledged(Acknowledged(2000.0))
    assert all_of_it.alarms == 0
    assert gathered([METADATA], all_of_it, 3000.0).alarms == 1


def test_later_refusals_are_not_acknowledged() -> None:
    result = gathered([FOREIGN], gathered(FOUR), 3000.0)
    assert [view.latest for view in result.acknowledged(Acknowledged(2000.0)).serious.values() if view.alarm] == [FOREIGN]


def test_kinds_of_a_reason_and_all_tunnels_are_acknowledged_together() -> None:
    result = gathered([*FOUR, *(dial(f"10.0.{n >> 8}.{n & 255}", 22, Reason.PRIVATE) for n in range(500))])
    assert result.acknowledged(Acknowledged(1e9, "firewall private or metadata address")).alarms == 3
    tunnels = gathered(dns(f"{n}.t{n % 3}.example") for n in range(3 * MANY))
    assert (tunnels.alarms, tunnels.acknowledged(Acknowledged(1e9, Suspicion.TUNNEL)).alarms) == (3, 0)


def test_acknowledged_kinds_make_room_and_stay_counted() -> None:
    scan = [dial(f"10.0.0.{number}", 22, Reason.PRIVATE) for number in range(MAX_SERIOUS)]
    seen = gathered(scan).acknowledged(Acknowledged(1e9))
    after = gathered([METADATA], seen, 5000.0)
    assert (after.alarms, len(after.serious), METADATA.key in after.serious) == (1, MAX_SERIOUS, True)
    assert sum(view.count for views in (after.serious, after.more) for view in views.values()) == MAX_SERIOUS + 1


def test_the_tables_survive_a_snapshot_of_bounded_size() -> None:
    flood = [e.Stamped(float(n), n, dns(SHAPES["of every shape"](n))) for n in range(100_000)]
    scan = [e.Stamped(2e5 + n, n, dial(f"10.0.{n >> 8}.{n & 255}", 22, Reason.PRIVATE)) for n in range(1000)]
    state = fold_all([*flood, *scan, e.Stamped(3e5, 1, Acknowledged(2e5))])
    text = json.dumps(state.as_json(), separators=(",", ":"))
    assert State.from_json(json.loads(text)) == state
    assert len(text) < 2 << 20
