"""Checks ports that are reached from outside: no two are the same, and none belongs to a service of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from network.dns import corefile
from network.firewall import ruleset

SERVICES = frozenset((
    53, ruleset.GATE_TLS_PORT, ruleset.GATE_HTTP_PORT, corefile.HEALTH_PORT, corefile.READY_PORT, corefile.METRICS_PORT,
))  # fmt: skip


def problems(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the ports among settings, given by field. A value that could not be read is what it is if unset."""
    ours: dict[str, int] = {}
    if values["ssh_keys"] and values["ssh_port"]:
        ours["CODETAINER_SSH_PORT"] = values["ssh_port"]
    if values["metrics"]:
        ours["CODETAINER_METRICS"] = values["metrics"].port
    found = []
    for name, port in ours.items():
        if port in SERVICES:
            found.append(f"{name}: {port} is a service's of the sandbox; take another, and publish it under any number")
        if port in values["inbound_ports"]:
            found.append(f"CODETAINER_INBOUND_PORTS: {port} is open by itself ({name}), and not for the agent; leave it out")
    if len(set(ours.values())) < len(ours):
        found.append(f"{' and '.join(ours)}: both have the same port")
    return found
