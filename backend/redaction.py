"""Takes secrets out of text that somebody may read: as they are, as part of more, URL-encoded, JSON-escaped, in base64."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

MIN_BASE64 = 4  # characters; fewer say nothing of what they encode, and may stand anywhere


class Redaction:
    """Replaces each secret by its name in angle brackets, for example `<GH_PAT>`."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        """`secrets` are names with values; a name may have several."""
        # The longest first: a secret that has another one in it is replaced as a whole.
        known = sorted({(value, name) for name, value in secrets if value}, key=lambda known: (-len(known[0]), known))
        self._names = [name for _, name in known]
        patterns = (f"({_pattern(value)})" for value, _ in known)
        self._secrets = re.compile("|".join(patterns), re.DOTALL) if known else None

    def __call__(self, text: str) -> str:
        return text if self._secrets is None else self._secrets.sub(self._name, text)

    def _name(self, match: re.Match[str]) -> str:
        assert match.lastindex is not None
        return f"<{self._names[match.lastindex - 1]}>"


def _pattern(value: str) -> str:
    """All spellings of a secret. It has no capturing group."""
    return "|".join(_spelled(text) for text in (value, *_in_base64(value)))


def _spelled(text: str) -> str:
    """Each character as it is, percent-encoded (RFC 3986), or escaped as in JSON and shells."""
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
        forms.append("'\"'\"'")  # as shlex.quote has it
    return f"(?:{'|'.join(forms)})"


def _in_base64(value: str) -> Iterable[str]:
    """What is always in the base64 of a text that has this value in it: for each of the three places where it may begin."""
    data = value.encode(errors="surrogateescape")
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        first = -(-before * 8 // 6)  # the first character that depends on the value alone
        after = (before + len(data)) * 8 // 6  # the first that depends on what comes behind it
        if after - first >= MIN_BASE64:
            yield encoded[first:after]
