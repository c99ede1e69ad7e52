"""Runs the self-test before the agent starts."""

from __future__ import annotations

from backend.boot.plan import StepFailed, StepWarned
from backend.context import Boot
from backend.selftest import selftest


async def run(boot: Boot) -> str:
    proof = await selftest.prove(boot)
    boot.emit(proof.event)
    if proof.broken:
        raise StepFailed("; ".join(proof.broken), selftest.REMEDY)
    if proof.silent:
        raise StepFailed(proof.silent, "Run codetainer logs to see the state of CoreDNS.")
    if proof.unreachable:
        raise StepWarned(proof.unreachable, boot.other_resolvers)
    return f"{proof.tried} protections tested"
