"""The ruleset as text: the traffic that each variant permits, and its inputs, which cannot add other rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.firewall import elements, ruleset
from network.firewall.elements import Element
from network.firewall.ruleset import Listener, Rules, Upstream

UPSTREAM = Upstream("203.0.113.53")


def test_closed_lets_nothing_out_but_ssh_replies() -> None:
    text = ruleset.closed()
    assert "policy drop" in text
    accepted = [line.strip() for line in chain(text, "out") if "accept" in line]
    assert all(
        "ct mark" in line or "ct state established" in line or "@open4" in line or "@direct4" in line for line in accepted
    )
    assert "th dport 53 ct state new" not in text
    assert "@notify4" not in text


def test_notifications_have_their_own_way_out_in_every_ruleset() -> None:
    """The sender's uid alone resolves names and reaches the set; also if boot has halted, and in a private network."""
    full = ruleset.render(Rules(upstreams=(UPSTREAM,), notify=(UPSTREAM,)))
    for text in (full, ruleset.closed(notify=(UPSTREAM,), docker_servers=("203.0.113.54",))):
        lines = chain(text, "out")
        to_set = [line for line in lines if "@notify4" in line]
        assert [line.split("ct state")[0].strip() for line in to_set] == ["meta skuid 959"]
        assert position(lines, "skuid != 959") < position(lines, "ct state established accept") < position(lines, "@notify4")
        assert position(lines, "@notify4") < position(lines, "@never4 goto refuse")
        asked = [line for line in lines if "asked_upstream" in line and "meta skuid 959" in line]
        assert len(asked) == 1
        loopback = chain(text, "loopback_socket")
        assert any("ip daddr 127.0.0.11 meta skuid { 954, 959 } accept" in line for line in loopback)
        assert any("958, 959 } ct state { new, untracked } goto refuse" in line for line in loopback)
    assert "203.0.113.54" in ruleset.closed(notify=(UPSTREAM,), docker_servers=("203.0.113.54",))
    assert "tcp dport @notify4" in ruleset.closed(notify=())  # a service without a name needs no resolver
    assert "203.0.113.54" not in ruleset.closed(docker_servers=("203.0.113.54",))


def chain(text: str, name: str) -> list[str]:
    body = re.search(rf"^  chain {name} \{{(.*?)^  \}}", text, re.MULTILINE | re.DOTALL)
    assert body is not None
    return body[1].splitlines()


def position(lines: list[str], word: str) -> int:
    return next(index for index, line in enumerate(lines) if word in line)


def test_owners_are_checked_before_established_flows() -> None:
    lines = chain(ruleset.render(Rules(upstreams=(UPSTREAM,))), "out")
    assert position(lines, "skuid != 954") < position(lines, "ct state established accept")


def test_special_ranges_are_refused_before_the_allowlist() -> None:
    lines = chain(ruleset.render(Rules(upstreams=(UPSTREAM,))), "out")
    assert position(lines, "@never4") < position(lines, "@open4")


def test_only_the_guard_queries_the_upstream() -> None:
    text = ruleset.render(Rules(upstreams=(UPSTREAM, Upstream("203.0.113.54", 853, tls=True))))
    lines = [line for line in text.splitlines() if "asked_upstream ct mark set" in line]
    assert len(lines) == 2
    assert all("meta skuid 954" in line for line in lines)
    assert "l4proto tcp th dport 853" in lines[1]


def test_with_a_gate_only_the_gate_connects_to_checked_addresses() -> None:
    text = ruleset.render(Rules(with_gate=True))
    assert "meta skuid 955 ct state new ip daddr . tcp dport @open4" in text
    assert "meta skuid 1000 ct state new ip daddr . tcp dport @open4" not in text
    assert "dnat ip to 127.0.0.55:443" in text
    assert "chain divert" not in ruleset.render(Rules())


@pytest.mark.parametrize(
    ("flows", "pace"), [(65536, "136/second burst 4096"), (262144, "546/second burst 16384"), (0, "1/second burst 1")]
)
def test_the_agents_new_flows_are_limited_by_the_size_of_the_conntrack_table(flows: int, pace: str) -> None:
    text = ruleset.render(Rules(with_gate=True, flows=flows))
    assert f"limit new_flows {{ rate over {pace} packets }}" in text
    lines = chain(text, "out")
    accepted = [line for line in lines if "meta skuid 1000 ct state new" in line and line.endswith("accept")]
    assert len(accepted) == 2
    assert all("jump pace" in lines[lines.index(line) - 1] for line in accepted)
    assert text.count("jump pace") == 2  # the gate's flows follow the agent's, so they need no limit


def test_the_transaction_does_not_touch_other_tables() -> None:
    text = ruleset.render(Rules())
    assert text.startswith("add table inet codetainer\ndelete table inet codetainer\ntable inet codetainer {")
    assert "flush" not in text


def test_elements_are_restored_in_the_same_transaction() -> None:
    text = ruleset.render(Rules(), [(elements.OPEN, Element("198.51.100.1", 443, 60))])
    assert "add element inet codetainer open4 { 198.51.100.1 . 443 timeout 60s }" in text


def test_inbound_ports() -> None:
    text = ruleset.render(Rules(inbound=(8080,)))
    assert "    tcp dport { 8080 } accept\n" in text
    assert "tcp sport 8080 ct mark set" in text


def test_without_our_sshd_only_the_platforms_ssh_is_reachable() -> None:
    """Fly.io's SSH listens on IPv6 as root."""
    text = ruleset.closed()
    assert not [line for line in chain(text, "in") if "dport" in line and "meta nfproto ipv6" not in line]
    assert f"{ruleset.SSH_MARK:#x} accept" not in "".join(chain(text, "out"))
    assert "meta nfproto ipv6 tcp dport { 22 } accept" in text


@pytest.mark.parametrize("port", [22, 2222])
def test_sshd_replies_from_root_sockets_only_and_is_unreachable_from_inside(port: int) -> None:
    text = ruleset.render(Rules(ssh=port, with_gate=True, upstreams=(UPSTREAM,)))
    assert f"    tcp dport {{ {port} }} accept" in chain(text, "in")
    replies = [line for line in chain(text, "out") if f"tcp sport {port} " in line]
    assert len(replies) == 1
    assert "ct direction reply" in replies[0]
    assert "meta skuid 0 " in replies[0]
    first = next(line for line in chain(text, "loopback_socket") if line.strip())
    assert first == f"    tcp dport {port} meta skuid != 0 goto refuse"
    assert ruleset.closed(port).count(f"tcp dport {port} meta skuid != 0 goto refuse") == 1


@pytest.mark.parametrize(("address", "where"), [("203.0.113.9", "ip daddr 203.0.113.9"), ("0.0.0.0", "meta nfproto ipv4")])
def test_metrics_are_served_by_their_own_uid_to_the_outside_only(address: str, where: str) -> None:
    for text in (ruleset.render(Rules(metrics=Listener(address, 9464), ssh=22)), ruleset.closed(22, Listener(address, 9464))):
        assert f"    {where} tcp dport 9464 accept" in chain(text, "in")
        (reply,) = (line for line in chain(text, "out") if "tcp sport 9464" in line)
        assert "ct direction reply" in reply
        assert "meta skuid 956 " in reply
        assert "    tcp dport 9464 meta skuid != 0 goto refuse" in chain(text, "loopback_socket")
    assert "9464" not in ruleset.closed()
    with pytest.raises(ValueError):
        ruleset.render(Rules(metrics=Listener("0.0.0.0; flush ruleset", 9464)))


def test_a_renewed_element_is_added_deleted_and_added() -> None:
    words = [line.split()[0] for line in elements.add(elements.OPEN, [Element("198.51.100.1", 443, 60)]).splitlines()]
    assert words == ["add", "delete", "add"]
    assert elements.add(elements.OPEN, []) == elements.delete(elements.OPEN, []) == elements.add_new(elements.OPEN, []) == ""


@pytest.mark.parametrize("address", ["2001:db8::1", "198.51.100.1; flush ruleset", "", "1.2.3", "198.51.100.1 }"])
def test_only_addresses_reach_nft(address: str) -> None:
    with pytest.raises(ValueError):
        elements.add(elements.OPEN, [Element(address, 443)])


@given(st.text(), st.integers())
def test_an_element_is_an_address_and_a_port_or_an_error(address: str, port: int) -> None:
    try:
        text = elements.add_new(elements.OPEN, [Element(address, port, 5)])
    except ValueError:
        return
    assert re.fullmatch(r"add element inet codetainer open4 \{ [0-9.]+ \. [0-9]+ timeout 5s \}\n", text)


@given(st.text(max_size=20))
def test_only_addresses_of_upstreams_reach_nft(address: str) -> None:
    try:
        text = ruleset.render(Rules(upstreams=(Upstream(address),)))
    except ValueError:
        return
    assert re.search(r"ip daddr [0-9.]+ meta skuid 954", text)
