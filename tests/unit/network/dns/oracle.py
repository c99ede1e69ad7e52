"""DNS messages made with dnspython, by hand and by Hypothesis, and two readers for them: dnspython and ours."""

from __future__ import annotations

import ipaddress
import string
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.renderer
import dns.rrset
from hypothesis import strategies as st

from network.dns import dns_message
from network.dns.dns_message import Answer, MessageError, Question

QUESTION = Question(4711, "wWw.exAmple.test")
NAME = dns.name.from_text(QUESTION.name)
COOKIE = dns.edns.GenericOption("COOKIE", b"cookie00")
ANSWER, AUTHORITY, ADDITIONAL = 1, 2, 3  # sections of a message, as dnspython's renderer numbers them

_inner = st.text(string.ascii_letters + string.digits + "-_", max_size=61)
_outer = st.sampled_from(string.ascii_letters + string.digits + "_")
host_labels = st.one_of(_outer, st.builds(lambda a, b, c: a + b + c, _outer, _inner, _outer))
# Labels that are easily confused: dots, case within ASCII and beyond it, escapes, zero bytes.
SIMILAR = (b"a", b"A", b"a.b", b"b", b".", b"\\", b"\\.", b"\xc0", b"\xe0", b"\xdf", b"\0", b" ", b"*", b"x" * 63)
any_labels = st.one_of(st.sampled_from(SIMILAR), st.binary(min_size=1, max_size=63), host_labels.map(str.encode))


def fits(labels: list[Any]) -> bool:
    return sum(len(label) + 1 for label in labels) <= 254


host_names = st.lists(host_labels, min_size=1, max_size=12).filter(fits).map(".".join)
any_names = st.lists(any_labels, min_size=1, max_size=6).filter(fits).map(lambda labels: dns.name.Name([*labels, b""]))
ids = st.integers(0, 0xFFFF)
ttls = st.one_of(st.integers(0, 3600), st.sampled_from((0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)))
addresses = st.ip_addresses(v=4).map(str)
questions = st.builds(Question, ids, host_names, st.just(dns_message.A), st.booleans())


@dataclass(frozen=True)
class Record:
    """A record of a message, as text."""

    owner: dns.name.Name
    kind: str
    text: str
    ttl: int
    section: int = ANSWER
    group: str = "IN"

    def rrset(self) -> dns.rrset.RRset:
        made = dns.rrset.RRset(self.owner, dns.rdataclass.from_text(self.group), dns.rdatatype.from_text(self.kind))
        made.add(dns.rdata.from_text(made.rdclass, made.rdtype, self.text))
        made.ttl = self.ttl
        return made


@dataclass(frozen=True)
class Message:
    """An answer to a question. It has an EDNS record if `edns` is set or the response code is above 15."""

    question: Question
    records: tuple[Record, ...]
    rcode: int = 0
    truncated: bool = False
    edns: bool = False

    def wire(self) -> bytes:
        flags = dns.flags.QR | dns.flags.RD | dns.flags.RA | (dns.flags.TC if self.truncated else 0)
        extended = dns.rcode.to_flags(dns.rcode.Rcode(self.rcode))
        renderer: Any = dns.renderer.Renderer(  # type: ignore[no-untyped-call]
            self.question.id, int(flags | extended[0]), 65535
        )
        renderer.add_question(dns.name.from_text(self.question.name), dns.rdatatype.A)
        for record in sorted(self.records, key=lambda record: record.section):
            renderer.add_rrset(record.section, record.rrset())
        if self.edns or self.rcode > 15:
            options = [dns.edns.ECSOption("192.0.2.0", 24), COOKIE]
            renderer.add_edns(0, int(extended[1] | dns.flags.DO), 1232, options)
        renderer.write_header()
        return bytes(renderer.get_wire())


@st.composite
def messages(draw: st.DrawFn, *, doubles: bool = False) -> Message:
    """Answers with CNAME chains and with records of other names, types and classes in all sections.

    `doubles`: a name may have two CNAME records.
    """
    question = draw(questions)
    asked = dns.name.from_text(question.name)
    pool = [asked, *draw(st.lists(any_names, max_size=6))]
    records, aliases = [], set()
    # Half of the examples have a chain; then come arbitrary records.
    steps = draw(st.integers(0, len(pool) - 1)) if draw(st.booleans()) else 0
    for one, other in pairwise(pool[: steps + 1]):
        records.append(Record(one, "CNAME", other.to_text(), draw(ttls)))
    owners = st.sampled_from([pool[steps], *pool])
    for _ in range(draw(st.integers(0, 8))):
        owner, kind = draw(owners), draw(st.sampled_from(("A", "A", "A", "CNAME", "AAAA", "TXT", "NS")))
        section = draw(st.sampled_from((ANSWER, ANSWER, ANSWER, AUTHORITY, ADDITIONAL)))
        text = {
            "A": lambda: draw(addresses),
            "AAAA": lambda: str(ipaddress.IPv6Address(draw(st.integers(0, 2**128 - 1)))),
            "TXT": lambda: '"' + "x" * draw(st.integers(0, 255)) + '"',
        }.get(kind, lambda: draw(st.sampled_from(pool)).to_text())()
        records.append(Record(draw(recased(owner)), kind, text, draw(ttls), section))
        if kind == "TXT" and draw(st.booleans()):
            records.append(Record(owner, "TXT", text, draw(ttls), section, "CH"))
    if not doubles:
        kept = []
        for record in records:
            if record.kind != "CNAME" or record.section != ANSWER or record.owner not in aliases:
                kept.append(record)
            if record.kind == "CNAME" and record.section == ANSWER:
                aliases.add(record.owner)  # dnspython compares names without regard to case
        records = kept
    rcode = draw(st.sampled_from((0, 0, 0, 0, 2, 3, 5, 16, 23)))
    return Message(question, tuple(records), rcode, draw(st.sampled_from((False, False, False, True))), draw(st.booleans()))


@st.composite
def recased(draw: st.DrawFn, name: dns.name.Name) -> dns.name.Name:
    """The same name with the case of some letters changed."""
    bits = draw(st.integers(0, 255))

    def swapped(label: bytes) -> bytes:
        letters = (chr(byte).isascii() and chr(byte).isalpha() and bits >> place % 8 & 1 for place, byte in enumerate(label))
        return bytes(byte ^ 0x20 * swap for byte, swap in zip(label, letters, strict=True))

    return dns.name.Name([swapped(label) for label in name.labels])


# --- the two readers ---


def ours(wire: bytes, question: Question) -> Answer | None:
    try:
        return dns_message.parse_answer(wire, question)
    except MessageError:
        return None


def theirs(wire: bytes, question: Question) -> Answer | None:
    """The answer to a question as dnspython reads it; None if it is malformed or answers another question."""
    try:
        read = dns.message.from_wire(wire)
    except Exception:  # dnspython's own errors, and built-in ones such as ValueError
        return None
    asked = dns.name.from_text(question.name)
    if not read.flags & dns.flags.QR or read.opcode() != dns.opcode.QUERY or read.id != question.id or len(read.question) != 1:
        return None
    (entry,) = read.question
    if (entry.name.labels, entry.rdtype, entry.rdclass) != (asked.labels, question.type, dns.rdataclass.IN):
        return None
    rcode = int(read.rcode())
    if read.flags & dns.flags.TC:
        return Answer(rcode & 15, truncated=True)
    if rcode & 15:  # an error in the header counts, regardless of the EDNS bits
        return Answer(rcode & 15)
    if rcode:
        return Answer(rcode)
    assert isinstance(read, dns.message.QueryMessage)
    try:
        chain = read.resolve_chaining()
    except dns.exception.DNSException:
        return None
    if chain.answer is None:
        return Answer(0)
    return Answer(0, tuple(dict.fromkeys(record.address for record in chain.answer)), chain.minimum_ttl)
