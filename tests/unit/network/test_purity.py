"""`network/` is pure: it opens no file, starts no process and creates no socket. Checked with an audit hook."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from network import allowlist, service_addresses, telemetry
from network.allowlist import Allowlist
from network.dns import corefile, dns_message, metrics, resolv_conf
from network.firewall import elements, ruleset
from network.firewall.elements import Element
from network.gate import credential_proxy, credentials, grants, haproxy
from network.gate.credential_proxy import CredentialProxy
from network.ssh import authorized_keys, sshd

EFFECTS = frozenset(("open", "os", "socket", "subprocess", "shutil"))
SHIPPED = Path(credentials.__file__).with_name("credentials.toml").read_text()
DOMAINS = Path(allowlist.__file__).with_name("domains.conf").read_text()
GATE, SSHD = haproxy.TEMPLATE.read_text(), sshd.TEMPLATE.read_text()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
PLACES = haproxy.Places(Path("/run/gate"))
PROXY = CredentialProxy(
    credentials.parse(SHIPPED, "credentials.toml"),
    {"GH_PAT": "x"},
    ("a/b",),
    PLACES.certificate_list,
    PLACES.authorities,
    PLACES.map("exact"),
    PLACES.map("below"),
    PLACES.granted,
    "/a",
    "/b",
)
_seen: list[str] | None = None  # an audit hook cannot be removed, so it records only while this is a list


def _notice(event: str, _: tuple[object, ...]) -> None:
    if _seen is not None and event.partition(".")[0] in EFFECTS:
        _seen.append(event)


sys.addaudithook(_notice)


def effects(work: Callable[[], object]) -> list[str]:
    """Returns the audit events (PEP 578) that a function raises through its effects on the system.

    A first call may import modules, such as codecs, so the second one counts.
    """
    global _seen
    with contextlib.suppress(Exception):
        work()
    seen: list[str] = []
    _seen = seen
    try:
        work()
    finally:
        _seen = None
    return seen


@pytest.mark.parametrize(
    "work",
    [
        lambda: allowlist.parse(DOMAINS, "domains.conf", {}),
        lambda: telemetry.read({}, outside=True),
        lambda: service_addresses.parse("jsons://hook.example/x mailtos://a:b@mail.example?to=a@b.example"),
        lambda: corefile.render("names", "box"),
        lambda: dns_message.build_query(dns_message.Question(1, "a.example")),
        lambda: metrics.parse(""),
        lambda: resolv_conf.parse("nameserver 192.0.2.1"),
        lambda: ruleset.render(ruleset.Rules(with_gate=True)),
        lambda: elements.add(elements.OPEN, [Element("192.0.2.1", 443)]),
        lambda: credentials.parse(SHIPPED, "credentials.toml"),
        lambda: credential_proxy.render(PROXY, "log"),
        lambda: haproxy.render(GATE, PLACES, (7, 8), 955, PROXY),
        lambda: grants.maps(Allowlist()),
        lambda: sshd.render(SSHD, sshd.Places(Path("/run/ssh")), 22),
        lambda: authorized_keys.parse(KEY, "x"),
    ],
)
def test_nothing_in_network_touches_the_system(work: Callable[[], object]) -> None:
    assert effects(work) == []


def test_effects_on_the_system_are_noticed(tmp_path: Path) -> None:
    assert effects(lambda: (tmp_path / "file").write_text("x"))
    assert effects(lambda: tmp_path.iterdir().__next__()) or effects(lambda: list(tmp_path.iterdir()))
