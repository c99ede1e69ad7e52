"""The firewall step: the kernel's conntrack limit and the system's resolvers."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import settings
from backend.boot.steps.rules import flows, resolvers
from backend.context import Boot
from backend.contract.paths import Paths
from backend.policy import Policy
from backend.services.bundle import Services
from network.dns import resolv_conf
from network.dns.resolv_conf import ResolvConf
from network.firewall import ruleset


@pytest.mark.parametrize(("text", "expected"), [("262144\n", 262144), ("", ruleset.FLOWS), (None, ruleset.FLOWS)])
def test_the_size_of_the_conntrack_table(tmp_path: Path, text: str | None, expected: int) -> None:
    if text is not None:
        (tmp_path / "proc/sys/net/netfilter").mkdir(parents=True)
        (tmp_path / "proc/sys/net/netfilter/nf_conntrack_max").write_text(text)
    assert flows(Paths(tmp_path)) == expected


DOCKER = "nameserver 127.0.0.11\n# ExtServers: [192.0.2.53]\n"


@pytest.mark.parametrize(
    ("text", "kept", "expected"),
    [
        ("nameserver 192.0.2.1\n", None, ResolvConf(("192.0.2.1",))),
        (DOCKER, None, ResolvConf(("127.0.0.11",), ("192.0.2.53",))),
        ("nameserver 127.0.0.53\noptions timeout:5\n", DOCKER, ResolvConf(("127.0.0.11",), ("192.0.2.53",))),  # a second boot
        ("", None, ResolvConf()),
        (None, None, ResolvConf()),
    ],
)
def test_resolvers_come_from_resolv_conf_or_from_the_first_boot(
    tmp_path: Path, text: str | None, kept: str | None, expected: ResolvConf
) -> None:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    paths.resolv_conf.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        paths.resolv_conf.write_text(text)
    if kept is not None:
        (paths.run / "upstreams").write_text(kept)
    assert resolvers(paths) == expected
    if expected.nameservers:
        assert resolv_conf.parse((paths.run / "upstreams").read_text()) == expected


@pytest.mark.parametrize(
    ("servers", "words"),
    [
        ((), "Check that the upstream resolvers answer (127.0.0.11)"),
        (None, "Docker's resolver (127.0.0.11) forwards queries from inside this container"),
    ],
)
def test_the_remedy_names_a_docker_network_with_unknown_servers_as_the_cause(
    tmp_path: Path, servers: tuple[str, ...] | None, words: str
) -> None:
    loaded = settings.load({"GH_PAT": "x", "ANTHROPIC_API_KEY": "x"})
    paths = Paths(tmp_path)
    services = Services(paths, print)
    boot = Boot(loaded, paths, print, services, Policy(loaded, services), docker_servers=servers)
    boot.policy.upstreams = ("127.0.0.11",)
    remedy = boot.other_resolvers
    assert words in remedy and "CODETAINER_UPSTREAM" in remedy
