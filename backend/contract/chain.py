"""A hash chain over the lines of a log: a line cannot be changed, removed or added without changing all later ones. Pure.

Every line is a JSON object whose last member is `chain`: the number of the line and, after a dash, the first 128 bits of the
SHA-256 of the previous line's `chain`, a newline and the line's text before the member. The first line of a file also has
`previous`, the `chain` of the line before it; in the first line of a record that is `0-` and a random number. The `chain` of
the last line is the head of the record. With a copy of a head, anyone can tell whether the lines
up to it are the original ones.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple

DIGITS = 32  # of a hash, in hexadecimal
HEAD = re.compile(rf"\d{{1,15}}-[0-9a-f]{{{DIGITS}}}\Z", re.ASCII)
_LINE = re.compile(rb'(\{.*),"chain":"(\d{1,15}-[0-9a-f]{32})"\}\Z', re.DOTALL)
_PREVIOUS = re.compile(rb',"previous":"(\d{1,15}-[0-9a-f]{32})"\Z')


class Link(NamedTuple):
    """A line of a chain: the text that its hash covers, its head, and the head before it if it is the first line of a file."""

    body: bytes
    head: str
    previous: str


def begin() -> str:
    """The head of a record without lines."""
    return f"0-{secrets.token_hex(DIGITS // 2)}"


def number(head: str) -> int:
    """The number of lines up to a head."""
    return int(head.partition("-")[0])


def link(head: str, line: str, *, is_first: bool = False) -> tuple[bytes, str]:
    """Appends a JSON object to a chain; returns its line, without the newline, and the new head. `is_first`: of its file."""
    body = line[:-1].encode()
    if is_first:
        body += f',"previous":"{head}"'.encode()
    after = following(head, body)
    return body + f',"chain":"{after}"}}'.encode(), after


def following(head: str, body: bytes) -> str:
    """The head after another line."""
    digest = hashlib.sha256(head.encode() + b"\n" + body).hexdigest()
    return f"{number(head) + 1}-{digest[:DIGITS]}"


def split(line: bytes) -> Link | None:
    """Takes a line apart; returns None if it is not part of a chain. Text in JSON escapes quotes: it cannot look like one."""
    match = _LINE.match(line)
    if match is None:
        return None
    previous = _PREVIOUS.search(match[1])
    return Link(match[1], match[2].decode(), previous[1].decode() if previous else "")


def sealed_text(number: int, head: str, traffic: str, key: str, *, last: bool) -> bytes:
    """The text that a seal signs: its number, the heads of journal and traffic log, and the key of the next seal."""
    return f"codetainer seal 1\n{number}\n{head}\n{traffic}\n{key}\n{'last' if last else ''}\n".encode()
