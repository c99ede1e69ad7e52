"""Text from strangers, made fit for a screen: control characters are shown, not obeyed."""

from __future__ import annotations

import unicodedata

_KINDS = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def harmless(text: str, most: int = 0) -> str:
    """The text with every character that moves, colours, hides or reverses written as its code; cut to `most` characters."""
    shown = "".join(_escape(c) if unicodedata.category(c) in _KINDS else c for c in text)
    return shown if not most or len(shown) <= most else shown[: max(0, most - 1)] + "…"


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
