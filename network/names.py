"""Host names in the form in which DNS compares them, and the errors in invalid ones. Sources: RFC 1035, RFC 3490."""

from __future__ import annotations

import re

LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
ADDRESS = re.compile(r"[0-9.]+\Z|[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*\Z|\[.*\]", re.IGNORECASE)
AN_ADDRESS = "expected a host name, not an address"
USE_A_NAME = "Write the host name; DNS supplies its addresses."


class EntryError(ValueError):
    """An invalid entry: the offset of the error (from 0), the text, the reason and the remedy."""

    def __init__(self, offset: int, text: str, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason}: {text!a}" + (f". {remedy}" if remedy else ""))
        self.offset, self.text, self.reason, self.remedy = offset, text, reason, remedy


def normalise(name: str) -> str:
    """Returns a host name in lower case, without trailing dot, IDNA labels as `xn--` (RFC 3490, as Python's codec has it).

    Raises EntryError for anything else: empty or over-long labels, characters other than letters, digits, `-` and `_`, more
    than 253 characters, an address, or a single label.
    """
    text = name[:-1] if name.endswith(".") else name
    if not text.isascii():
        text = _to_ascii(name, text)
    text = text.lower()
    if ADDRESS.match(text):
        raise EntryError(0, name, AN_ADDRESS, USE_A_NAME)
    if not text:
        raise EntryError(0, name, "the name is missing")
    if len(text) > 253:
        raise EntryError(0, name[:60], "a name can have at most 253 characters")
    labels = text.split(".")
    offset = 0
    for label in labels:
        if not LABEL.match(label):
            raise EntryError(
                offset, name, _label_reason(label), "Write letters, digits and - between dots, as in api.example.com."
            )
        offset += len(label) + 1
    if len(labels) < 2:
        raise EntryError(0, name, "a single label is not a public name", "Write it in full, as in host.example.com.")
    if labels[-1].isdigit():
        raise EntryError(offset - len(labels[-1]) - 1, name, "the last label cannot be a number")
    return text


def _to_ascii(name: str, text: str) -> str:
    try:
        encoded = text.encode("idna").decode("ascii")
        if encoded.encode("ascii").decode("idna") != text.lower():
            raise EntryError(0, name, "IDNA encoding changes the name", f"Write it as {encoded}.")
    except UnicodeError as error:
        raise EntryError(0, name, "not a valid IDNA name") from error
    return encoded


def _label_reason(label: str) -> str:
    if not label:
        return "a label is empty"
    if len(label) > 63:
        return "a label can have at most 63 characters"
    if label[0] == "-" or label[-1] == "-":
        return "a label cannot begin or end with -"
    return "a label can contain only letters, digits, - and _"
