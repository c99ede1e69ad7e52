"""`codetainer allowed`: every open name, its ports, and where it comes from."""

from __future__ import annotations

import json
import time
from typing import Any

from backend.contract.control import Reply
from codetainer_tui.words import harmless, until


def as_json(reply: Reply) -> str:
    return json.dumps(list(reply.data.get("entries", ())), indent=2) + "\n"


def table(reply: Reply, now: float | None = None) -> str:
    """Columns as wide as what stands in them."""
    moment = time.time() if now is None else now
    rows = [_row(entry, moment) for entry in reply.data.get("entries", ())]
    if not rows:
        return "no name is open\n"
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "".join(f"{name:<{widths[0]}}  {ports:<{widths[1]}}  {source}\n" for name, ports, source in rows)


def _row(entry: dict[str, Any], now: float) -> tuple[str, str, str]:
    end = entry.get("until")
    source = harmless(str(entry.get("source", "")))
    if end is not None:
        source += f", {until(float(end), now)}"
    return harmless(str(entry.get("name", ""))), harmless(str(entry.get("ports", ""))), source
