"""What an allowlist entry grants: any request, reading, or requests by method and path.

    registry.example.com read                      GET, HEAD and OPTIONS, without a body
    api.example.com read POST:/v1/track/**         reading, and POST below /v1/track/
    api.example.com GET:/v1/* PUT:/v1/items/*      only these requests
    api.example.com open                           any request; the same as no grant

In a path `*` stands for one segment and `**` for any number of segments. A path matches as a whole, decoded and without
trailing slashes, and case matters. A grant is a tuple of its words; the empty tuple grants any request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from network.names import EntryError

READ, OPEN = "read", "open"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
READING = ("GET", "HEAD", "OPTIONS")
ANYTHING: tuple[str, ...] = ()
# The rules of a credentials file decide instead (network/gate/credentials.py); no entry contains this word.
BY_CREDENTIAL = ("credentials.toml",)
# Any request passes, and the gate records it: the grant of a name that a learning run has opened. No entry contains this word.
RECORDED = ("recorded",)
MAX_RULES = 32  # of one entry
_PATH = re.compile(r"/[A-Za-z0-9._~!&()+,=:@/*-]*\Z")
MAX_PATH = 200  # characters
_EXAMPLE = "Write read, open, or METHOD:/PATH, as in POST:/v1/track/**."
# Every other word in a rule's path is literal in a regular expression, or becomes a character class (no backslash, which the
# gate's admin socket would interpret).
_SPECIAL = re.compile(r"[.+()]")


def is_word(text: str) -> bool:
    """True for a word that can only be meant as part of a grant, even if it has a mistake. A host has a dot or a wildcard."""
    return bool(re.match(r"[A-Za-z]+(:(?!\d)|,|\Z)", text)) or text.startswith("/")


def parse(words: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    """Parses the words after an entry, each with its offset. Raises EntryError."""
    rules: dict[str, None] = {}
    for offset, word in words:
        rules[_word(offset, word)] = None
    if OPEN in rules:
        if len(rules) > 1:
            other = next(rule for rule in rules if rule != OPEN)
            offset, word = next(each for each in words if each[1] != OPEN)
            raise EntryError(offset, word, f"open already grants {other}", "Write either open or the requests.")
        return ANYTHING
    if len(rules) > MAX_RULES:
        raise EntryError(words[0][0], words[0][1], f"an entry can have at most {MAX_RULES} grants")
    return _ordered(rules)


def _word(offset: int, word: str) -> str:
    """One word of a grant, as it is written in full. Raises EntryError."""
    if word in (READ, OPEN):
        return word
    if word.lower() in (READ, OPEN):
        raise EntryError(offset, word, "expected small letters", f"Write {word.lower()}.")
    method, colon, path = word.partition(":")
    if not colon:
        if method.upper() in METHODS:
            raise EntryError(offset, word, "a method needs a path", f"Write {method.upper()}:/** for every path.")
        if word.startswith("/"):
            raise EntryError(offset, word, "a path needs a method", f"Write it as in GET:{word[:60]}.")
        raise EntryError(offset, word, "unknown grant", _EXAMPLE)
    if method not in METHODS:
        if method.upper() in METHODS:
            raise EntryError(offset, word, "expected the method in capital letters", f"Write {method.upper()}:{path[:60]}.")
        raise EntryError(offset, word, "unknown method", f"Use one of {' '.join(METHODS)}.")
    offset += len(method) + 1
    if not path.startswith("/"):
        raise EntryError(offset, word, "a path must begin with a slash", f"Write {method}:/{path[:60]}.")
    for mark, remedy in (("?", "Leave out the query; it is not compared."), ("%", "Write the path decoded.")):
        if mark in path:
            raise EntryError(offset + path.index(mark), word, f"a path cannot contain {mark}", remedy)
    if not _PATH.match(path):
        raise EntryError(offset, word, "a path can contain only the characters of URLs", _EXAMPLE)
    if len(path) > MAX_PATH:
        raise EntryError(offset, word[:60], f"a path can have at most {MAX_PATH} characters")
    if re.search(r"//|/\.\.?(/|\Z)", path):
        raise EntryError(offset, word, "a path cannot contain // or dot segments", "Write it as servers see it.")
    if any("*" in segment and segment not in ("*", "**") for segment in path.split("/")):
        raise EntryError(
            offset + path.index("*"),
            word,
            "* must be a whole segment",
            "Write /v1/*/name for one segment, /v1/** for all below.",
        )
    return f"{method}:{path.rstrip('/') or '/'}"


def union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The grant of two entries together. `open` includes everything."""
    if BY_CREDENTIAL in (one, other):
        return BY_CREDENTIAL
    if ANYTHING in (one, other):
        return ANYTHING
    if RECORDED in (one, other):
        return RECORDED
    return _ordered((*one, *other))


def _ordered(rules: Iterable[str]) -> tuple[str, ...]:
    """Each rule once, `read` first; without rules that `read` includes."""
    each = dict.fromkeys(rules)
    if READ not in each:
        return tuple(each)
    return (READ, *(rule for rule in each if rule != READ and rule.partition(":")[0] not in READING))


def text(grant: tuple[str, ...]) -> str:
    """The words after the entry: `read POST:/v1/track/**`, or `open`."""
    return OPEN if grant == RECORDED else " ".join(grant) or OPEN


def patterns(grant: tuple[str, ...]) -> tuple[str, ...]:
    """Regular expressions for a request as `METHOD=/path`. They contain neither blanks nor backslashes.

    GET includes HEAD. A path that servers may read in two ways is `-`, which only `read` matches.
    """
    return tuple(_pattern(rule) for rule in grant)


def _pattern(rule: str) -> str:
    if rule == READ:
        return f"({'|'.join(READING)})="
    method, _, path = rule.partition(":")
    segments = (".*" if part == "**" else "[^/]+" if part == "*" else _literal(part) for part in path.split("/"))
    return f"{'(GET|HEAD)' if method == 'GET' else method}={'/'.join(segments)}$"


def _literal(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"[{found[0]}]", text)


def key_pattern(key: str) -> str:
    """A regular expression for the beginning of a request's text: the entry and port that open it (`*.example.com:443`)."""
    return "^" + key.replace("*", "[*]").replace(".", "[.]") + "="
