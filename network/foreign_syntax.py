"""Allowlists from other programs: their encodings, and entries in their syntax, with what to write instead.

Sources: squid's `acl dstdomain`, hosts(5), Adblock Plus filters, YAML, JSON, and regular expressions as in Pi-hole's lists.
"""

from __future__ import annotations

import codecs
import re

_NAME = r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+"
_ADDRESS = r"(?:[0-9.]{7,15}|::1?|[0-9a-fA-F:]*:[0-9a-fA-F:]+)"
# The first pattern that matches a whole entry decides. `name` is the host that the remedy writes as it should be.
_SYNTAX = (
    (rf"-\s*['\"]?(?P<name>{_NAME})['\"]?", "a list item of YAML", "Write {name} without the dash."),
    (rf"(?P<quote>['\"])(?P<name>{_NAME})(?P=quote)[,;]?", "a name in quotes", "Write {name} without quotes."),
    (rf"(?P<name>{_NAME})[,;]", "a separator after the name", "Write {name} alone on its line."),
    (r"[\[\]{}],?", "a bracket of JSON or TOML", "Write one name per line, without brackets."),
    (
        rf"\.(?P<name>{_NAME})\.?",
        "a domain with its subdomains, as in squid",
        "Write {name} and *.{name}, one per line.",
    ),
    (rf"{_ADDRESS}\s+(?P<name>{_NAME})(?:\s.*)?", "a line of a hosts file", "Write {name} without the address."),
    (rf"(?:@@)?\|\|(?P<name>{_NAME})\^?.*", "a filter of an ad blocker", "Write {name}, or *.{name} for the names below it."),
    (rf"[\w.-]+@(?P<name>{_NAME}):.*", "an address of git over ssh", "Write {name}:22 to open ssh to that host."),
    (rf"[\w.-]+@(?P<name>{_NAME})", "a user before the host", "Write {name} alone."),
    (r"(?:acl|dstdomain|http_access|server=|address=|local-zone:).*", "a directive of another program", "Write only the name."),
    (r"(?://|;|--|REM\s).*", "not a comment", "Start comments with #."),
    (r"!.*", "an exception; the allowlist has none", "List the names that may be reached instead."),
    (r"\*|\*\.\*", "everything; the allowlist opens names one by one", "List the names that may be reached."),
    (
        r"/.*/|\.\*.*|[^\[].*[\^$\\()\[\]|+?].*|[\^(].*",
        "a regular expression",
        "Write names, or *.example.com for all names below one.",
    ),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), reason, remedy) for pattern, reason, remedy in _SYNTAX)


def mistake(text: str) -> tuple[str, str] | None:
    """Returns reason and remedy if an entry is written in another program's syntax, else None."""
    for pattern, reason, remedy in _COMPILED:
        if found := pattern.fullmatch(text):
            name = found.groupdict().get("name") or ""
            return reason, remedy.format(name=name.removeprefix("*.") if "*.{name}" in remedy else name)
    return None


def decode(data: bytes) -> str:
    """Returns the text of an allowlist's file. Raises ValueError with a reason and what to do."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("the text is UTF-16; save it as UTF-8")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8; save the text as UTF-8") from None
