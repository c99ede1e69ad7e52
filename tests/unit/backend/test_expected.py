"""The sandbox's own tries are taken out of the agent's refusals, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

from backend.contract.events import Reason, Refused, Via
from backend.expected import SECONDS, Expected

OURS = Refused(Via.FIREWALL, Reason.NEVER_RESOLVED, 1, "tcp", address="192.0.2.1", port=443)


def test_ours_is_taken_once() -> None:
    expected = Expected()
    expected.add(("tcp", "192.0.2.1", 443))
    assert expected.without(OURS) is None
    assert expected.without(OURS) == OURS


def test_the_agents_share_is_left() -> None:
    expected = Expected()
    expected.add(("tcp", "192.0.2.1", 443))
    assert expected.without(replace(OURS, count=5)) == replace(OURS, count=4)


def test_others_are_not_touched() -> None:
    expected = Expected()
    expected.add(("tcp", "192.0.2.1", 443), ("dns", "x.probe.example", 0))
    other = replace(OURS, port=80)
    assert expected.without(other) == other
    assert expected.without(Refused(Via.DNS, Reason.NOT_LISTED, protocol="dns", name="x.probe.example")) is None


def test_what_was_lost_in_a_flood_hides_nothing_of_the_agents() -> None:
    """A probe's packet that the kernel's log had no room for: hours later the agent tries the same address."""
    now = 0.0
    expected = Expected(lambda: now)
    for _ in range(3):
        expected.add(("tcp", "192.0.2.1", 443))
    now = SECONDS + 1
    assert expected.without(OURS) == OURS


def test_nothing_of_what_was_tried_is_kept() -> None:
    """Each proof has a name of its own."""
    now = 0.0
    expected = Expected(lambda: now)
    for number in range(1000):
        expected.add(("dns", f"{number}.probe.example", 0), ("tcp", f"{number}.probe.example", 443))
        assert expected.without(Refused(Via.DNS, Reason.NOT_LISTED, protocol="dns", name=f"{number}.probe.example")) is None
        now += 60.0
    assert len(expected._keys) < 10


def test_a_refusal_at_dockers_resolver_has_the_port_that_nat_has_given_it() -> None:
    expected = Expected()
    expected.add(("udp", "127.0.0.11", 53))
    refused = Refused(Via.FIREWALL, Reason.PRIVATE, 2, "udp", address="127.0.0.11", port=39505)
    assert expected.without(refused) == replace(refused, count=1)
