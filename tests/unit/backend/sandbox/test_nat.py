"""Addresses, rules and resolvers of `--net nat`."""

from pathlib import Path

import pytest

from backend.sandbox import nat
from backend.system import SystemFailure


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("nameserver 192.0.2.1\nnameserver 192.0.2.2\n", ("192.0.2.1", "192.0.2.2")),
        ("# nameserver 192.0.2.1\nsearch nameserver\n", ()),
        ("nameserver\nnameserver x\nnameserver 192.0.2.1 # mine\n", ("192.0.2.1",)),
        ("nameserver 127.0.0.53\nnameserver ::1\nnameserver 2001:db8::1\n", ()),
        ("nameserver 192.0.2.1\nnameserver 192.0.2.1\n", ("192.0.2.1",)),
    ],
)
def test_only_ipv4_resolvers_outside_of_loopback_are_used(text: str, addresses: tuple[str, ...]) -> None:
    assert nat.nameservers(text) == addresses


def test_upstreams_of_systemd_resolved_replace_a_resolver_on_loopback(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\n")
    with pytest.raises(SystemFailure, match="cannot find a resolver") as raised:
        nat.resolvers((stub, real))
    assert "CODETAINER_UPSTREAM" in raised.value.hint
    real.write_text("nameserver 192.0.2.1\n")
    assert nat.resolvers((stub, real)) == ("192.0.2.1",)
    stub.write_text("nameserver 192.0.2.9\n")
    assert nat.resolvers((stub, real)) == ("192.0.2.9",)


def test_networks_of_sandboxes_do_not_overlap() -> None:
    used = {nat.address(number, end) for number in range(64) for end in (1, 2)}
    assert len(used) == 128
    assert nat.address(0, 1) == "10.213.0.1"
    assert nat.address(63, 2) == "10.213.0.254"


def test_the_table_is_owned_by_the_process_that_creates_it() -> None:
    text = nat.table(3, "codetainer3")
    assert "add table ip codetainer_3 { flags owner; }" in text
    assert 'ip saddr 10.213.0.14 oifname != "codetainer3" masquerade' in text
