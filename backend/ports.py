"""Ports that are reached from outside: each is one thing's, and none is a service's of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from network import corefile, ruleset

SERVICES = frozenset((
    53, ruleset.GATE_TLS_PORT, ruleset.GATE_HTTP_PORT, corefile.HEALTH_PORT, corefile.READY_PORT, corefile.METRICS_PORT,
))  # fmt: skip


def problems(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the ports of settings, as they were read, beside each other."""
    ours: dict[str, int] = {}
    if values["CODETAINER_SSH_KEYS"] and values["CODETAINER_SSH_PORT"]:
        ours["CODETAINER_SSH_PORT"] = values["CODETAINER_SSH_PORT"]
    if values["CODETAINER_METRICS"]:
        ours["CODETAINER_METRICS"] = values["CODETAINER_METRICS"].port
    found = []
    for name, port in ours.items():
        if port in SERVICES:
            found.append(f"{name}: {port} is a service's of the sandbox; take another, and publish it under any number")
        if port in (values["CODETAINER_INBOUND_PORTS"] or ()):
            found.append(f"CODETAINER_INBOUND_PORTS: {port} is open by itself ({name}), and not for the agent; leave it out")
    if len(set(ours.values())) < len(ours):
        found.append(f"{' and '.join(ours)}: both have the same port")
    return found
