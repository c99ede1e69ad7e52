"""The descriptions in an archive, as JSON: what root has decided (`Suspended`), what the agent's files take (`Manifest`)."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeVar

from backend.contract.events import build
from backend.contract.immutable import dataclass

FORMAT = 1
MAX_GRANTS = 10_000
MAX_ENTRIES = 2_000_000
FOLDERS = ("workspace", "home/claude", "tmp")  # the agent's folders, below the root


class Unreadable(Exception):
    """An archive that cannot be used. The text is the reason, after "cannot resume FILE: "."""


D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant of the operator's, in the words of `codetainer allow`. `until` in seconds since the epoch, 0: until revoked."""

    name: str
    ports: str
    grant: str = ""
    until: float = 0.0
    by: str = ""


@dataclass(frozen=True, slots=True)
class Suspended:
    """A sandbox when its work was written, `at` (seconds since the epoch).

    `working`: a turn of the agent's was under way. `budget` is an account (network/gate/budget.py), empty if none was kept.
    `muted` are names whose refusals are hidden, with the end of that time.
    """

    format: int = FORMAT
    at: float = 0.0
    version: str = ""
    name: str = ""
    repository: str = ""
    cloned: bool = False
    working: bool = False
    grants: tuple[Granted, ...] = ()
    budget: Mapping[str, Any] = field(default_factory=dict)
    muted: Mapping[str, float] = field(default_factory=dict)

    def encode(self) -> bytes:
        return _encode(self)

    @staticmethod
    def decode(text: bytes) -> Suspended:
        """Raises Unreadable, also for a newer format."""
        body = _object(text)
        version = body.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise Unreadable(f"it is of format {version}, from a newer version; this version reads formats up to {FORMAT}")
        state: Suspended = _build(Suspended, body)
        numbers = (state.at, *(grant.until for grant in state.grants), *state.muted.values())
        if state.format != FORMAT or len(state.grants) > MAX_GRANTS or not all(map(math.isfinite, numbers)):
            raise Unreadable("damaged: its state is not valid")
        return state

    @property
    def age(self) -> str:
        """When it was written: `2026-11-29 14:02:11 UTC`."""
        try:
            return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.at))
        except (ValueError, OverflowError, OSError):
            return "unknown"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The agent's files. `size` is that of their tar archive in bytes, `used` what each of FOLDERS takes in memory (bytes).

    `left_out` names files that the archive lacks, with the reason; `more` counts those that are not named.
    """

    size: int
    entries: int
    used: Mapping[str, int]
    left_out: tuple[str, ...] = ()
    more: int = 0

    def encode(self) -> bytes:
        return _encode(self)

    @staticmethod
    def decode(text: bytes) -> Manifest:
        manifest: Manifest = _build(Manifest, _object(text))
        counts = (manifest.size, manifest.entries, manifest.more, *manifest.used.values())
        if any(count < 0 for count in counts) or manifest.entries > MAX_ENTRIES or set(manifest.used) != set(FOLDERS):
            raise Unreadable("damaged: its manifest is not valid")
        return manifest


def _encode(description: Any) -> bytes:
    return json.dumps(dataclasses.asdict(description), indent=1, ensure_ascii=True).encode() + b"\n"


def _object(text: bytes) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable("damaged: a description is not JSON") from error
    if not isinstance(body, dict):
        raise Unreadable("damaged: a description is not a JSON object")
    return body


def _build(kind: type[D], body: Mapping[str, Any]) -> D:
    try:
        made: D = build(kind, body)
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
        raise Unreadable(f"damaged: a description is not valid: {error}") from error
    return made
