"""Removes secrets from text: verbatim, inside longer words, URL-encoded, JSON-escaped, in base64."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

MIN_BASE64 = 4  # characters; shorter ones reveal nothing and would match anywhere


class Redaction:
    """Replaces each secret by its name in angle brackets, for example `<GH_PAT>`."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        """Takes pairs of name and value; a name may have several values."""
        # Longest first: a secret that contains another one is replaced as a whole.
        ordered = sorted({(value, name) for name, value in secrets if value}, key=lambda pair: (-len(pair[0]), pair))
        self._names = [name for _, name in ordered]
        patterns = (f"({_pattern(value)})" for value, _ in ordered)
        self._secrets = re.compile("|".join(patterns), re.DOTALL) if ordered else None

    def __call__(self, text: str) -> str:
        return text if self._secrets is None else self._secrets.sub(self._name, text)

    def _name(self, match: re.Match[str]) -> str:
        assert match.lastindex is not None
        return f"<{self._names[match.lastindex - 1]}>"


def _pattern(value: str) -> str:
    """A pattern for all spellings of a secret, without capturing groups."""
    return "|".join(_spelled(text) for text in (value, *_in_base64(value)))


def _spelled(text: str) -> str:
    """A pattern for a text whose characters may be literal, percent-encoded (RFC 3986), or escaped as in JSON and shells."""
    return "".join(_character(character) for character in text)


def _character(character: str) -> str:
    encoded = "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogateescape"))
    forms = [rf"\\{{0,3}}{re.escape(character)}", f"(?i:{encoded})"]
    if ord(character) < 0x10000:
        forms.append(rf"\\{{1,3}}u(?i:{ord(character):04x})")
    if character in "+/":  # the other alphabet of base64 (RFC 4648, 5)
        forms.append({"+": "-", "/": "_"}[character])
    if character == " ":
        forms.append(r"\+")  # application/x-www-form-urlencoded
    if character == "'":
        forms.append("'\"'\"'")  # the form of shlex.quote
    return f"(?:{'|'.join(forms)})"


def _in_base64(value: str) -> Iterable[str]:
    """The base64 characters that depend only on this value, for each of the three offsets at which it may begin."""
    data = value.encode(errors="surrogateescape")
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        first = -(-before * 8 // 6)  # the first character that depends only on the value
        after = (before + len(data)) * 8 // 6  # the first that depends on the text after the value
        if after - first >= MIN_BASE64:
            yield encoded[first:after]
