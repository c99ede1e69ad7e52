"""Refusals that the sandbox itself brings about when it tries its walls: they are never listed as the agent's."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from backend.contract.events import Refused


class Expected:
    """What is still to come of them."""

    def __init__(self) -> None:
        self._keys: Counter[tuple[str, str, int]] = Counter()

    def add(self, *keys: tuple[str, str, int]) -> None:
        """One refusal each of (protocol, name or address, port) is ours."""
        self._keys.update(keys)

    def without(self, refused: Refused) -> Refused | None:
        """What is left of a refusal when ours are taken away; None where nothing is."""
        key = (refused.protocol, refused.name or refused.address, refused.port)
        ours = min(self._keys[key], refused.count)
        if not ours:
            return refused
        self._keys[key] -= ours
        return replace(refused, count=refused.count - ours) if refused.count > ours else None
