"""Checks that the ports open to the outside differ from each other and from the ports of the sandbox's services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from network.dns import corefile
from network.firewall import ruleset

SERVICES = frozenset((
    53, ruleset.GATE_TLS_PORT, ruleset.GATE_HTTP_PORT, corefile.HEALTH_PORT, corefile.READY_PORT, corefile.METRICS_PORT,
))  # fmt: skip


def problems(values: Mapping[str, Any]) -> list[str]:
    """The errors in the ports among settings, which are given by field. Invalid values count as unset."""
    ours: dict[str, int] = {}
    if values["ssh_keys"] and values["ssh_port"]:
        ours["CODETAINER_SSH_PORT"] = values["ssh_port"]
    if values["metrics"]:
        ours["CODETAINER_METRICS"] = values["metrics"].port
    errors = []
    for name, port in ours.items():
        if port in SERVICES:
            errors.append(f"{name}: a service in the sandbox uses port {port}; choose another, and publish it as any number")
        if port in values["inbound_ports"]:
            errors.append(f"CODETAINER_INBOUND_PORTS: {name} already opens port {port}, and not for the agent; remove it here")
    if len(set(ours.values())) < len(ours):
        errors.append(f"{' and '.join(ours)}: both have the same port")
    return errors
