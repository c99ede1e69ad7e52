"""DNS messages (RFC 1035, RFC 6891) as far as the guard needs them: one A question out, one answer in. Pure.

Whatever is malformed, ambiguous or not an answer to the question that was asked raises MessageError: doubt is no answer.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass

from network.firewall.ruleset import SPECIAL_PURPOSE, SPECIAL_PURPOSE6

A, CNAME, OPT = 1, 5, 41
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
MAX_RECORDS = 256
MAX_CNAMES = 16
UDP_SIZE = 1232  # fits an Ethernet frame whatever the path: https://www.dnsflagday.net/2020/

_LABEL = re.compile(rb"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")


_SPECIAL = tuple(map(ipaddress.ip_network, (*SPECIAL_PURPOSE, *SPECIAL_PURPOSE6)))


class MessageError(ValueError):
    """Not a message that can be trusted, and why."""


@dataclass(frozen=True, slots=True)
class Question:
    """`name` as it was spelled on the wire (upper and lower case matter against spoofed answers), without trailing dot."""

    id: int
    name: str
    type: int = A
    recursion: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream said: the addresses at the end of the CNAME chain that begins with the name asked for.

    `ttl` is the least of the chain, in seconds. `special` are those of its addresses that are never opened.
    """

    rcode: int
    addresses: tuple[str, ...] = ()
    ttl: int = 0
    truncated: bool = False
    special: tuple[str, ...] = ()

    @property
    def lack(self) -> str:
        """Why nothing can be opened for it, "" where something can."""
        if self.addresses:
            return ""
        if self.special:
            return f"it has private or special addresses only ({', '.join(self.special[:3])}), and those are never opened"
        if self.rcode == NXDOMAIN:
            return "there is no such name"
        return "it has no IPv4 address" if self.rcode == NOERROR else f"the resolver answered with error {self.rcode}"


def parse_query(data: bytes) -> Question:
    """A query with exactly one question of class IN, every label of it made of host name characters."""
    ident, flags, questions, answers, authorities, additional = _header(data)
    if flags & 0x8000 or flags & 0x7800 or questions != 1 or answers or authorities or additional > 2:
        raise MessageError("not a plain query")
    name, offset = _name(data, 12, strict=True)
    kind, group = _unpack("!HH", data, offset)
    if group != IN:
        raise MessageError("not of class IN")
    return Question(ident, name, kind, bool(flags & 0x0100))


def refuse(data: bytes) -> tuple[str, bytes] | None:
    """REFUSED to a query that `parse_query` does not take (another class, a name that is no host's), and the name in it.

    Its question comes back as it was sent. None where there is none to send back.
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
    """A recursive query with an EDNS record that allows answers of UDP_SIZE bytes."""
    header = struct.pack("!6H", question.id, 0x0100, 1, 0, 0, 1)
    opt = b"\0" + struct.pack("!HHIH", OPT, UDP_SIZE, 0, 0)
    return header + _encode(question.name) + struct.pack("!HH", question.type, IN) + opt


def build_answer(question: Question, rcode: int, addresses: tuple[str, ...] = (), ttl: int = 0) -> bytes:
    """The reply to a query: the addresses under the very name that was asked for. A chain of CNAMEs is not passed on."""
    flags = 0x8080 | (0x0100 if question.recursion else 0) | rcode
    body = _encode(question.name) + struct.pack("!HH", question.type, IN)
    for address in addresses:
        body += struct.pack("!HHHIH", 0xC00C, A, IN, ttl, 4) + ipaddress.IPv4Address(address).packed
    return struct.pack("!6H", question.id, flags, 1, len(addresses), 0, 0) + body


def parse_answer(data: bytes, question: Question) -> Answer:
    """What a datagram says to the question. Raises MessageError where it is not the answer to exactly this question.

    The name has to come back in the same spelling (0x20: draft-vixie-dnsext-dns0x20), which a spoofer would have to guess.
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
    found: dict[str, list[tuple[str, int]]] = {}
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
        if group == IN and kind == A and number < answers:
            if length != 4:
                raise MessageError("an address of another length than four")
            found.setdefault(owner, []).append((str(ipaddress.IPv4Address(data[offset : offset + 4])), ttl))
        elif group == IN and kind == CNAME and number < answers:
            target, end = _name(data, offset)
            if end != offset + length:
                raise MessageError("an alias of another length than it says")
            known, least = aliases.get(owner, (target, ttl))
            if known != target:
                raise MessageError("an alias of two names")
            aliases[owner] = target, min(least, ttl)
        offset += length
    return Answer(extended << 4) if extended else _follow(question.name.lower(), found, aliases)


def _follow(name: str, found: dict[str, list[tuple[str, int]]], aliases: dict[str, tuple[str, int]]) -> Answer:
    """Addresses are taken only from the end of the chain that begins with the name asked for."""
    ttls: list[int] = []
    for _ in range(MAX_CNAMES):
        records = found.get(name)
        if records:
            addresses = tuple(dict.fromkeys(address for address, _ in records))
            return Answer(NOERROR, addresses, min([*ttls, *(ttl for _, ttl in records)]))
        if name not in aliases:
            return Answer(NOERROR)
        name, ttl = aliases[name]
        ttls.append(ttl)
    raise MessageError("a chain of aliases without end")


def is_special(address: str) -> bool:
    """Whether an address is for a special purpose (RFC 6890): private, loopback, link-local, metadata, multicast, reserved.

    The documentation ranges are not counted: nothing answers there, except where a test says so.
    """
    number = ipaddress.ip_address(address)
    return any(number in special for special in _SPECIAL)


def mixed_case(name: str, bits: int) -> str:
    """A name with the case of its letters chosen by the bits of a random number."""
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
    """The name at an offset and the offset after it. Pointers (RFC 1035, 4.1.4) go backwards only, so they end.

    `strict` accepts host names without compression and keeps their spelling. Otherwise letters become lower case (ASCII only,
    RFC 4343) and dots within labels are escaped, so that two texts are equal only if the names are.
    """
    labels: list[bytes] = []
    end: int | None = None
    least = offset
    total = 0
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
