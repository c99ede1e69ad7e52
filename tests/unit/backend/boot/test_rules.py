"""The firewall step: the kernel's conntrack limit and the system's resolvers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend import settings
from backend.boot.plan import StepFailed
from backend.boot.steps import rules
from backend.boot.steps.rules import flows, resolvers
from backend.context import Boot
from backend.contract.paths import Paths
from backend.policy import Policy
from backend.services.bundle import Services
from network.dns import resolv_conf
from network.dns.resolv_conf import External, ResolvConf
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
        (DOCKER, None, ResolvConf(("127.0.0.11",), (), External(("192.0.2.53",)))),
        (
            "nameserver 127.0.0.53\noptions timeout:5\n",
            DOCKER,
            ResolvConf(("127.0.0.11",), (), External(("192.0.2.53",))),
        ),  # a second boot
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


def boot(tmp_path: Path, resolv_conf: str, upstream: str = "") -> Boot:
    """A boot that has read this resolv.conf; the firewall and the policy are left out."""
    loaded = settings.load({"GH_PAT": "x", "ANTHROPIC_API_KEY": "x", "CODETAINER_UPSTREAM": upstream})
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    paths.resolv_conf.parent.mkdir(parents=True)
    paths.resolv_conf.write_text(resolv_conf)
    services = Services(paths, print)
    return Boot(loaded, paths, print, services, Policy(loaded, services))


DOCKERS = "Docker's resolver (127.0.0.11) forwards queries from inside this container"
IPV6 = "its servers have only IPv6 addresses (2001:db8::53), and the sandbox blocks IPv6"


@pytest.mark.parametrize(
    ("servers", "words"),
    [
        ("# ExtServers: [192.0.2.53 2001:db8::53]\n", "Check that the upstream resolvers answer (127.0.0.11)"),
        ("", f"{DOCKERS}, and the firewall refuses them because /etc/resolv.conf does not name its servers."),
        ("# ExtServers: []\n", f"{DOCKERS}, and /etc/resolv.conf names no server that it could forward them to."),
        ("# ExtServers: [2001:db8::53]\n", f"{DOCKERS}, and {IPV6}."),
    ],
)
async def test_a_docker_network_whose_servers_cannot_be_asked_is_named_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: str, words: str
) -> None:
    begun = boot(tmp_path, f"nameserver 127.0.0.11\n{servers}")
    rulesets: list[str] = []

    async def nft(argv: list[str], **given: str) -> None:
        rulesets.append(given["input"])

    monkeypatch.setattr("backend.boot.steps.rules.system.run_async", nft)
    done = await rules.run(begun)
    assert words in begun.other_resolvers and "CODETAINER_UPSTREAM" in begun.other_resolvers
    assert (IPV6 in done) is (IPV6 in words)
    assert ("192.0.2.53" in rulesets[0]) is ("192.0.2.53" in servers)
    assert "2001:db8::53" not in rulesets[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("search example.test\n", "/etc/resolv.conf names none"),
        ("nameserver 2001:db8::53\n", "/etc/resolv.conf names only IPv6 addresses (2001:db8::53), and the sandbox blocks IPv6"),
    ],
)
async def test_without_an_upstream_resolver_boot_halts_and_says_why(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(StepFailed, match=re.escape(words)) as caught:
        await rules.run(boot(tmp_path, text))
    assert "CODETAINER_UPSTREAM" in caught.value.remedy
