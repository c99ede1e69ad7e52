"""Starts /metrics early if it is configured, so that monitoring sees this sandbox even if boot halts."""

from __future__ import annotations

from backend.boot.plan import StepFailed, StepSkipped
from backend.context import Boot


async def run(boot: Boot) -> str:
    where = boot.settings.metrics
    if where is None:
        raise StepSkipped("CODETAINER_METRICS is not set")
    try:
        await boot.services.exporter.open(where)
    except OSError as error:
        raise StepFailed(
            f"cannot serve metrics at {where.address}:{where.port}: {error.strerror or error}",
            "Set CODETAINER_METRICS to an address of the sandbox, or to 0.0.0.0 for all of them.",
        ) from error
    return f"http://{where.address}:{where.port}/metrics"
