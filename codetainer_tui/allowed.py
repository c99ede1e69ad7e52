"""`codetainer allowed`: all open names with their ports, the requests that pass, and sources."""

from __future__ import annotations

import json
import time
from typing import Any

from backend.contract.control import Reply
from codetainer_tui.words import columns, harmless, until


def as_json(reply: Reply) -> str:
    return json.dumps(list(reply.data.get("entries", ())), indent=2) + "\n"


def table(reply: Reply, now: float | None = None) -> str:
    """One line per entry, or one sentence if there are none. If everything is closed now, the first line says why."""
    moment = time.time() if now is None else now
    rows = [_row(entry, moment) for entry in reply.data.get("entries", ())]
    if not rows:
        return "no names are open\n"
    closed = harmless(str(reply.data.get("closed", "")))
    return (f"closed now: {closed}\n" if closed else "") + columns(rows)


def _row(entry: dict[str, Any], now: float) -> tuple[str, str, str, str]:
    end = entry.get("until")
    source = harmless(str(entry.get("source", "")))
    if end is not None:
        source += f", {until(float(end), now)}"
    if lack := harmless(str(entry.get("lack", ""))):
        source += f"; cannot be reached: {lack}"
    name, ports, grant = (harmless(str(entry.get(key, ""))) for key in ("name", "ports", "grant"))
    return name, ports, grant, source
