"""Refusals that the self-test causes are removed from the agent's, and no others."""

from __future__ import annotations

from dataclasses import replace

from backend.contract.events import Reason, Refused, Via
from backend.expected import SECONDS, Expected

OURS = Refused(Via.FIREWALL, Reason.NEVER_RESOLVED, 1, "tcp", address="192.0.2.1", port=443)


def test_an_expected_refusal_is_removed_once() -> None:
    expected = Expected()
    expected.add(("tcp", "192.0.2.1", 443))
    assert expected.without(OURS) is None
    assert expected.without(OURS) == OURS


def test_the_agents_share_of_a_count_stays() -> None:
    expected = Expected()
    expected.add(("tcp", "192.0.2.1", 443))
    assert expected.without(replace(OURS, count=5)) == replace(OURS, count=4)


def test_other_refusals_stay_unchanged() -> None:
    expected = Expected()
    expected.add(("tcp", "192.0.2.1", 443), ("dns", "x.probe.example", 0))
    other = replace(OURS, port=80)
    assert expected.without(other) == other
    assert expected.without(Refused(Via.DNS, Reason.NOT_LISTED, protocol="dns", name="x.probe.example")) is None


def test_an_expected_refusal_lost_in_a_flood_hides_no_later_one() -> None:
    """The kernel's log had no room for a probe's packet, and hours later the agent tries the same address."""
    now = 0.0
    expected = Expected(lambda: now)
    for _ in range(3):
        expected.add(("tcp", "192.0.2.1", 443))
    now = SECONDS + 1
    assert expected.without(OURS) == OURS


def test_keys_of_past_self_tests_are_dropped() -> None:
    """Each self-test asks for a new name."""
    now = 0.0
    expected = Expected(lambda: now)
    for number in range(1000):
        expected.add(("dns", f"{number}.probe.example", 0), ("tcp", f"{number}.probe.example", 443))
        assert expected.without(Refused(Via.DNS, Reason.NOT_LISTED, protocol="dns", name=f"{number}.probe.example")) is None
        now += 60.0
    assert len(expected._keys) < 10


def test_the_port_of_dockers_resolver_is_ignored() -> None:
    expected = Expected()
    expected.add(("udp", "127.0.0.11", 53))
    refused = Refused(Via.FIREWALL, Reason.PRIVATE, 2, "udp", address="127.0.0.11", port=39505)
    assert expected.without(refused) == replace(refused, count=1)
