"""Refusals that the sandbox itself brings about when it tries its walls: they are never listed as the agent's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from backend.contract.events import Refused
from network.firewall.ruleset import DOCKER_ADDRESS

SECONDS = 60.0  # what has not come by then was lost, in a flood of others: the next one is the agent's


class Expected:
    """What is still to come of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._keys: dict[tuple[str, str, int], list[float]] = {}  # until when each is waited for

    def add(self, *keys: tuple[str, str, int]) -> None:
        """One refusal each of (protocol, name or address, port) is ours."""
        now = self._clock()
        waited = ((key, [end for end in ends if end > now]) for key, ends in self._keys.items())
        self._keys = {key: ends for key, ends in waited if ends}
        for key in keys:
            self._keys.setdefault(_seen(*key), []).append(now + SECONDS)

    def without(self, refused: Refused) -> Refused | None:
        """What is left of a refusal when ours are taken away; None where nothing is."""
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
    """The key under which a refusal is reported. Docker's nat rules redirect port 53 of its resolver to one that varies."""
    return (protocol, to, 0 if to == DOCKER_ADDRESS else port)
