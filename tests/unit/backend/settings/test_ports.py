"""Ports open to the outside: each has one use only."""

from __future__ import annotations

import pytest

from backend import settings
from backend.settings import SettingsError
from network.firewall.ruleset import Listener

GOOD = {"GH_PAT": "ghp_secret", "CLAUDE_CODE_OAUTH_TOKEN": "sk-secret"}
NAME = "CODETAINER_SSH_KEYS"
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def test_sshd_has_a_port_of_its_own() -> None:
    keys = {**GOOD, NAME: ED25519}
    assert settings.load(keys).open_ssh_port == 22
    assert settings.load(GOOD).open_ssh_port == 0
    assert settings.load({**keys, "CODETAINER_SSH_PORT": "2222"}).open_ssh_port == 2222
    with pytest.raises(SettingsError, match="INBOUND_PORTS"):
        settings.load({**keys, "CODETAINER_INBOUND_PORTS": "8080 22"})
    for port in ("443", "53", "9153"):
        with pytest.raises(SettingsError, match="a service in the sandbox uses port"):
            settings.load({**keys, "CODETAINER_SSH_PORT": port})
    for text in ("0", "70000", "22 23", "ssh"):
        with pytest.raises(SettingsError, match="CODETAINER_SSH_PORT"):
            settings.load({**keys, "CODETAINER_SSH_PORT": text})


def test_metrics_have_an_address_and_a_port_of_their_own() -> None:
    assert settings.load(GOOD).metrics is None
    assert settings.load({**GOOD, "CODETAINER_METRICS": "0.0.0.0:9464"}).metrics == Listener("0.0.0.0", 9464)
    for text in ("9464", "::1:9464", "[::]:9464", "box.example:9464", "10.0.0.1:0", "10.0.0.1:99999", "10.0.0.1:"):
        with pytest.raises(SettingsError, match="CODETAINER_METRICS"):
            settings.load({**GOOD, "CODETAINER_METRICS": text})
    with pytest.raises(SettingsError, match="a service in the sandbox uses port"):
        settings.load({**GOOD, "CODETAINER_METRICS": "0.0.0.0:9153"})
    with pytest.raises(SettingsError, match="both have the same port"):
        settings.load({**GOOD, NAME: ED25519, "CODETAINER_METRICS": "0.0.0.0:22"})
    with pytest.raises(SettingsError, match="not for the agent"):
        settings.load({**GOOD, "CODETAINER_METRICS": "0.0.0.0:9464", "CODETAINER_INBOUND_PORTS": "9464"})
