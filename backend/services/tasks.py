"""Background tasks. asyncio itself keeps only weak references to tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Keeps each task alive until it has ended."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def ended(self, seconds: float) -> None:
        """Waits until all tasks have ended, at most so long."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=seconds)
