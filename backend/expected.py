"""The refusals that the self-test causes itself, which must not appear as the agent's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from backend.contract.events import Refused
from network.firewall.ruleset import DOCKER_ADDRESS

SECONDS = 60.0  # a refusal not reported by then was lost in a flood; a later one is the agent's


class Expected:
    """The refusals that are still expected."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._keys: dict[tuple[str, str, int], list[float]] = {}  # deadlines of the expected refusals, by key

    def add(self, *keys: tuple[str, str, int]) -> None:
        """Expects one refusal for each (protocol, name or address, port)."""
        now = self._clock()
        pending = ((key, [end for end in ends if end > now]) for key, ends in self._keys.items())
        self._keys = {key: ends for key, ends in pending if ends}
        for key in keys:
            self._keys.setdefault(_seen(*key), []).append(now + SECONDS)

    def without(self, refused: Refused) -> Refused | None:
        """The refusal without the expected ones in its count; None if none is left."""
        key = _seen(refused.protocol, refused.name or refused.address, refused.port)
        now = self._clock()
        ends = [end for end in self._keys.pop(key, ()) if end > now]
        ours = min(len(ends), refused.count)
        if ends[ours:]:
            self._keys[key] = ends[ours:]
        if not ours:
            return refused
        return replace(refused, count=refused.count - ours) if refused.count > ours else None


def _seen(protocol: str, to: str, port: int) -> tuple[str, str, int]:
    """The key of a refusal. Leaves out the port of Docker's resolver: Docker's NAT rules redirect port 53 to a random one."""
    return (protocol, to, 0 if to == DOCKER_ADDRESS else port)
