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
    port = values["CODETAINER_SSH_PORT"]
    if not values["CODETAINER_SSH_KEYS"] or not port:
        return []
    if port in SERVICES:
        return [f"CODETAINER_SSH_PORT: {port} is a service's of the sandbox; take another, and publish it under any number"]
    if port in (values["CODETAINER_INBOUND_PORTS"] or ()):
        return [f"CODETAINER_INBOUND_PORTS: {port} is sshd's (CODETAINER_SSH_PORT) and is open by itself; leave it out"]
    return []
