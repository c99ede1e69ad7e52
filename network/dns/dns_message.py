"""DNS messages (RFC 1035, RFC 6891), as far as the guard needs them: one A question out, one answer in. Pure.

Raises MessageError for anything that is malformed, ambiguous, or not the answer to the question.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass

from network import reasons
from network.firewall.ruleset import SPECIAL_PURPOSE, SPECIAL_PURPOSE6

A, CNAME, AAAA, OPT = 1, 5, 28, 41
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
_RCODES = {FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN", NOTIMP: "NOTIMP", REFUSED: "REFUSED"}
MAX_RECORDS = 2048  # half of what fits into a message
MAX_POINTERS = 127  # in one name, which has at most as many labels
_ADDRESS_BYTES = {A: 4, AAAA: 16}
MAX_CNAMES = 16
_HEADER_BYTES = 12
UDP_SIZE = 1232  # avoids fragmentation on every common path: https://www.dnsflagday.net/2020/

_LABEL = re.compile(rb"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")


_SPECIAL = tuple(map(ipaddress.ip_network, (*SPECIAL_PURPOSE, *SPECIAL_PURPOSE6)))


class MessageError(ValueError):
    """A message that cannot be trusted, with the reason."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question. `name` keeps its case from the wire (a defence against spoofed answers), without the trailing dot."""

    id: int
    name: str
    type: int = A
    recursion: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """An upstream's answer: the addresses at the end of the CNAME chain that begins with the name in the question.

    `ttl` is the smallest of the chain, in seconds. `special` has the addresses that are never opened.
    """

    rcode: int
    addresses: tuple[str, ...] = ()
    ttl: int = 0
    truncated: bool = False
    special: tuple[str, ...] = ()

    @property
    def lack(self) -> str:
        """The reason in a few words why nothing can be opened for the name, or ""."""
        if self.addresses:
            return ""
        if self.special:
            reason = reasons.BLOCKED if all(map(is_unspecified, self.special)) else reasons.PRIVATE
            return f"{reason} ({', '.join(self.special[:3])})"
        if self.rcode == NXDOMAIN:
            return "does not exist (NXDOMAIN)"
        return "no IPv4 address" if self.rcode == NOERROR else f"the resolver failed ({rcode_name(self.rcode)})"


def rcode_name(rcode: int) -> str:
    """The name of a response code (RFC 1035, RFC 6895), as tools print it."""
    return _RCODES.get(rcode, f"rcode {rcode}")


def parse_query(data: bytes) -> Question:
    """Parses a query with exactly one question, of class IN, for a host name."""
    ident, flags, questions, answers, authorities, additional = _header(data)
    if flags & 0x8000 or flags & 0x7800 or questions != 1 or answers or authorities or additional > 2:
        raise MessageError("not a plain query")
    name, offset = _name(data, 12, strict=True)
    kind, group = _unpack("!HH", data, offset)
    if group != IN:
        raise MessageError("not of class IN")
    return Question(ident, name, kind, bool(flags & 0x0100))


def refuse(data: bytes) -> tuple[str, bytes] | None:
    """Returns the name in a query that `parse_query` rejects (another class, not a host name), and a REFUSED answer to it.

    The answer repeats the question unchanged. Returns None if the data has no single question to repeat.
    """
    try:
        ident, flags, questions, *_ = _header(data)
        name, end = _name(data, 12)
    except MessageError:
        return None
    question = data[12 : end + 4]
    if flags & 0x8000 or questions != 1 or len(question) != end - 8:
        return None
    return name, struct.pack("!6H", ident, 0x8000 | flags & 0x7900 | REFUSED, 1, 0, 0, 0) + question


def build_query(question: Question) -> bytes:
    """Returns a recursive query with an EDNS record that allows answers of UDP_SIZE bytes."""
    header = struct.pack("!6H", question.id, 0x0100, 1, 0, 0, 1)
    opt = b"\0" + struct.pack("!HHIH", OPT, UDP_SIZE, 0, 0)
    return header + _encode(question.name) + struct.pack("!HH", question.type, IN) + opt


def build_answer(question: Question, rcode: int, addresses: tuple[str, ...] = (), ttl: int = 0) -> bytes:
    """Returns the reply to a query. The addresses belong to the name in the question; CNAMEs are not passed on.

    They belong to it in lower case, whatever the question's case: CoreDNS answers later questions from its cache with the same
    records, and HAProxy rejects a record whose name is not exactly what it asked for.
    """
    flags = 0x8080 | (0x0100 if question.recursion else 0) | rcode
    asked, owner = _encode(question.name), _encode(question.name.lower())
    body = asked + struct.pack("!HH", question.type, IN)
    place = _HEADER_BYTES if owner == asked else _HEADER_BYTES + len(body)  # of the first name in lower case
    pointer = struct.pack("!H", 0xC000 | place)
    if owner == asked:
        owner = pointer
    for address in addresses:
        body += owner + struct.pack("!HHIH", A, IN, ttl, 4) + ipaddress.IPv4Address(address).packed
        owner = pointer
    return struct.pack("!6H", question.id, flags, 1, len(addresses), 0, 0) + body


def parse_answer(data: bytes, question: Question) -> Answer:
    """Parses the answer to a question. Raises MessageError if it answers any other question.

    The name must have the same case as in the question (0x20: draft-vixie-dnsext-dns0x20), which a spoofer would have to guess.
    """
    ident, flags, questions, answers, authorities, additional = _header(data)
    if ident != question.id or not flags & 0x8000 or flags & 0x7800 or questions != 1:
        raise MessageError("not an answer to this question")
    name, offset = _name(data, 12, strict=True)
    kind, group = _unpack("!HH", data, offset)
    offset += 4
    if (name, kind, group) != (question.name, question.type, IN):
        raise MessageError("another question's answer")
    rcode = flags & 0x000F
    if flags & 0x0200:
        return Answer(rcode, truncated=True)
    if rcode != NOERROR:
        return Answer(rcode)
    if answers + authorities + additional > MAX_RECORDS:
        raise MessageError("too many records")
    by_owner: dict[str, list[tuple[str, int]]] = {}
    aliases: dict[str, tuple[str, int]] = {}
    extended = None  # the upper bits of the response code (RFC 6891, 6.1.3)
    for number in range(answers + authorities + additional):
        owner, offset = _name(data, offset)
        kind, group, ttl, length = _unpack("!HHIH", data, offset)
        offset += 10
        if offset + length > len(data):
            raise MessageError("a record ends after the message")
        if kind == OPT:
            if owner or extended is not None or number < answers + authorities:
                raise MessageError("an EDNS record out of place")
            extended = ttl >> 24
        ttl = 0 if ttl > 0x7FFFFFFF else ttl  # RFC 2181, 8
        if group == IN and kind == question.type and kind in _ADDRESS_BYTES and number < answers:
            if length != _ADDRESS_BYTES[kind]:
                raise MessageError("an address of another length than its type has")
            by_owner.setdefault(owner, []).append((str(ipaddress.ip_address(data[offset : offset + length])), ttl))
        elif group == IN and kind == CNAME and number < answers:
            target, end = _name(data, offset)
            if end != offset + length:
                raise MessageError("an alias of another length than it says")
            previous, least = aliases.get(owner, (target, ttl))
            if previous != target:
                raise MessageError("an alias of two names")
            aliases[owner] = target, min(least, ttl)
        offset += length
    return Answer(extended << 4) if extended else _follow(question.name.lower(), by_owner, aliases)


def _follow(name: str, by_owner: dict[str, list[tuple[str, int]]], aliases: dict[str, tuple[str, int]]) -> Answer:
    """Follows the CNAME chain from a name to its addresses. Records off the chain are ignored."""
    ttls: list[int] = []
    for _ in range(MAX_CNAMES):
        records = by_owner.get(name)
        if records:
            addresses = tuple(dict.fromkeys(address for address, _ in records))
            return Answer(NOERROR, addresses, min([*ttls, *(ttl for _, ttl in records)]))
        if name not in aliases:
            return Answer(NOERROR)
        name, ttl = aliases[name]
        ttls.append(ttl)
    raise MessageError("a chain of aliases without end")


def is_special(address: str) -> bool:
    """True for a special-purpose address (RFC 6890): private, loopback, link-local, metadata, multicast, reserved.

    False for the documentation ranges, which the tests use and where nothing else answers.
    """
    number = ipaddress.ip_address(address)
    return any(number in special for special in _SPECIAL)


def is_unspecified(address: str) -> bool:
    """True for 0.0.0.0 and ::, with which resolvers answer for names that they block."""
    return ipaddress.ip_address(address).is_unspecified


def mixed_case(name: str, bits: int) -> str:
    """Returns a name with the case of each letter set by a bit of a random number."""
    return "".join(c.upper() if c.isalpha() and bits >> (i % 256) & 1 else c.lower() for i, c in enumerate(name))


def _header(data: bytes) -> tuple[int, int, int, int, int, int]:
    if len(data) < 12:
        raise MessageError("shorter than a header")
    ident, flags, *counts = struct.unpack("!6H", data[:12])
    return ident, flags, counts[0], counts[1], counts[2], counts[3]


def _unpack(form: str, data: bytes, offset: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data, offset)
    except struct.error as error:
        raise MessageError("cut short") from error


def _name(data: bytes, offset: int, *, strict: bool = False) -> tuple[str, int]:
    """Parses the name at an offset; returns it and the offset after it.

    Compression pointers (RFC 1035, 4.1.4) may only point backwards, so they terminate. `strict` accepts only uncompressed
    host names and keeps their case. Otherwise ASCII letters become lower case (RFC 4343) and dots within labels are escaped:
    two texts are equal only if the names are.
    """
    labels: list[bytes] = []
    end: int | None = None
    least = offset
    total = pointers = 0
    while True:
        if offset >= len(data):
            raise MessageError("a name ends after the message")
        length = data[offset]
        if length & 0xC0 == 0xC0:
            (pointer,) = _unpack("!H", data, offset)
            pointer &= 0x3FFF
            if pointer >= least or strict:
                raise MessageError("a name points forward")
            end = offset + 2 if end is None else end
            offset = least = pointer
            pointers += 1
            if pointers > MAX_POINTERS:
                raise MessageError("a name of too many pointers")
            continue
        if length & 0xC0:
            raise MessageError("a label of an unknown kind")
        offset += 1
        if not length:
            break
        label = data[offset : offset + length]
        total += length + 1
        if len(label) != length or total > 254:
            raise MessageError("a name is too long")
        if strict and not _LABEL.match(label):
            raise MessageError("a label with other than host name characters")
        labels.append(label)
        offset += length
    if strict and not labels:
        raise MessageError("the root is no host")
    if not strict:
        labels = [label.lower().replace(b"\\", b"\\\\").replace(b".", b"\\.") for label in labels]
    return ".".join(label.decode("latin-1") for label in labels), offset if end is None else end


def _encode(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split(".")) + b"\0"
