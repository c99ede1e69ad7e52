"""Cookies that the gate dropped, until they are reported. Bounded: one event a minute for each host with a credential."""

from __future__ import annotations

import time
from collections.abc import Callable

from backend.contract.events import CookiesDropped

SECONDS = 60.0  # between two events about one host


class Cookies:
    """Counts requests with cookies by host. Its size is bounded, because the gate adds only hosts with a credential."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._requests: dict[str, int] = {}
        self._reported: dict[str, float] = {}  # host -> time of the last event

    def add(self, host: str) -> None:
        self._requests[host] = self._requests.get(host, 0) + 1

    def take(self) -> list[CookiesDropped]:
        """Returns the events that are due: at once for a host's first cookies, later ones once every SECONDS."""
        now = self._clock()
        due = [host for host in self._requests if now - self._reported.get(host, -SECONDS) >= SECONDS]
        self._reported |= dict.fromkeys(due, now)
        return [CookiesDropped(host, self._requests.pop(host)) for host in due]
