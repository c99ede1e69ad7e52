"""The file with the catalogue of what can be written at GitHub."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from network.gate import ways
from network.gate.ways import Catalogue

SHIPPED = Path(ways.__file__).with_name("ways.toml")


@cache
def read() -> Catalogue:
    """The shipped catalogue."""
    return ways.parse(SHIPPED.read_text(encoding="utf-8"))
