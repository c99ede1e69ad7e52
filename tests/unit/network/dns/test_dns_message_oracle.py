"""dnspython as the oracle for our DNS messages: both must read a message in the same way. Tables list the differences."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.dns import dns_message
from network.dns.dns_message import MAX_RECORDS, OPT, Answer, MessageError, Question
from tests.unit.network.dns.oracle import (
    ADDITIONAL,
    ANSWER,
    AUTHORITY,
    COOKIE,
    NAME,
    QUESTION,
    Message,
    Record,
    addresses,
    any_names,
    host_names,
    ids,
    messages,
    ours,
    questions,
    theirs,
)

# --- dnspython's messages, read by us ---


@given(messages())
def test_both_read_an_answer_in_the_same_way(message: Message) -> None:
    wire = message.wire()
    assert ours(wire, message.question) == theirs(wire, message.question)


@given(messages(doubles=True))
def test_only_an_alias_of_two_names_is_read_differently(message: Message) -> None:
    wire = message.wire()
    targets: dict[dns.name.Name, set[str]] = {}
    for record in message.records:
        if record.kind == "CNAME" and record.section == ANSWER:
            targets.setdefault(record.owner, set()).add(dns.name.from_text(record.text).canonicalize().to_text())
    readable = not message.truncated and not message.rcode & 15
    if readable and any(len(names) > 1 for names in targets.values()):
        assert ours(wire, message.question) is None
    else:
        assert ours(wire, message.question) == theirs(wire, message.question)


@given(messages(), st.data())
def test_both_never_read_a_damaged_answer_differently(message: Message, data: st.DataObject) -> None:
    """With bytes changed, inserted or cut out, one of the two may refuse it, but they never read different content."""
    wire = bytearray(message.wire())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(wire)))
        match data.draw(st.sampled_from(("change", "insert", "cut"))):
            case "change" if place < len(wire):
                wire[place] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from((0, 0xC0, 12))))
            case "insert":
                wire[place:place] = data.draw(st.binary(min_size=1, max_size=12))
            case "cut":
                del wire[place : place + data.draw(st.integers(1, 12))]
    we, they = ours(bytes(wire), message.question), theirs(bytes(wire), message.question)
    assert we is None or they is None or we == they


@given(host_names, ids, st.integers(1, 255), st.booleans(), st.booleans(), st.sampled_from((0, 512, 1232, 4096, 65535)))
def test_both_read_a_query_in_the_same_way(name: str, ident: int, kind: int, recursion: bool, edns: bool, payload: int) -> None:
    query = dns.message.make_query(
        name, dns.rdatatype.RdataType(kind), id=ident, flags=dns.flags.RD if recursion else 0, use_edns=0 if edns else False,
        want_dnssec=edns, payload=payload, options=[COOKIE] if edns else None,
    )  # fmt: skip
    assert dns_message.parse_query(query.to_wire()) == Question(ident, name, kind, recursion)


@given(any_names, ids, st.sampled_from(("IN", "CH", "ANY")), st.sampled_from(("A", "TXT", "ANY")))
def test_any_query_is_parsed_or_refused(name: dns.name.Name, ident: int, group: str, kind: str) -> None:
    query = dns.message.make_query(name, kind, group, id=ident)
    with contextlib.suppress(MessageError):
        read = dns_message.parse_query(query.to_wire())
        assert dns.name.from_text(read.name).labels == name.labels
        assert (read.id, read.type, group) == (ident, dns.rdatatype.from_text(kind), "IN")
        return
    refused = dns_message.refuse(query.to_wire())
    assert refused is not None
    _, reply = refused
    read_back = dns.message.from_wire(reply)
    assert query.is_response(read_back)
    assert read_back.rcode() == dns.rcode.REFUSED
    assert read_back.question[0].name.labels == name.labels


@given(any_names, any_names)
def test_different_names_have_different_texts(one: dns.name.Name, other: dns.name.Name) -> None:
    refused = [dns_message.refuse(dns.message.make_query(name, "A", "CH").to_wire()) for name in (one, other)]
    assert refused[0] is not None and refused[1] is not None
    assert (refused[0][0] == refused[1][0]) == (one == other)


# --- our messages, read by dnspython ---


@given(questions)
def test_dnspython_reads_our_query(question: Question) -> None:
    read = dns.message.from_wire(dns_message.build_query(question))
    assert (read.id, read.flags, read.edns, read.payload, read.options) == (question.id, dns.flags.RD, 0, 1232, ())
    (entry,) = read.question
    assert entry.name.labels == dns.name.from_text(question.name).labels
    assert (entry.rdtype, entry.rdclass) == (dns.rdatatype.A, dns.rdataclass.IN)


@given(questions, st.sampled_from((0, 2, 3, 5)), st.lists(addresses, max_size=64, unique=True), st.integers(0, 0x7FFFFFFF))
def test_dnspython_reads_our_answer(question: Question, rcode: int, opened: list[str], ttl: int) -> None:
    wire = dns_message.build_answer(question, rcode, tuple(opened), ttl)
    query = dns.message.make_query(question.name, "A", id=question.id, flags=dns.flags.RD if question.recursion else 0)
    read = dns.message.from_wire(wire)
    assert query.is_response(read)
    assert (read.rcode(), bool(read.flags & dns.flags.RA), bool(read.flags & dns.flags.AA)) == (rcode, True, False)
    assert [(record.address, rrset.ttl) for rrset in read.answer for record in rrset] == [(address, ttl) for address in opened]
    assert [rrset.name.labels for rrset in read.answer] == [dns.name.from_text(question.name.lower()).labels] * bool(opened)
    assert (
        theirs(wire, question) == ours(wire, question) == Answer(rcode, *((tuple(opened), ttl) if opened and not rcode else ()))
    )


# --- differences ---


def rendered(*records: Record, name: str = QUESTION.name, flags: int = 0x8180, edns: bool = False) -> bytes:
    wire = bytearray(Message(Question(QUESTION.id, name), records, edns=edns).wire())
    wire[2:4] = flags.to_bytes(2, "big")
    return bytes(wire)


def raw(owner: bytes, kind: int, data: bytes, *, more: int = 1, section: int = ANSWER) -> bytes:
    """An answer to the question with a record that dnspython would not build. `more` is the count in the header."""
    wire = bytearray(rendered())
    wire[4 + 2 * section : 6 + 2 * section] = more.to_bytes(2, "big")
    return bytes(wire) + owner + kind.to_bytes(2, "big") + b"\0\1" + bytes(4) + len(data).to_bytes(2, "big") + data


def host(text: str) -> dns.name.Name:
    return dns.name.from_text(text)


def alias(owner: str, target: str) -> Record:
    return Record(host(owner), "CNAME", host(target).to_text(), 60)


def chain(length: int) -> list[Record]:
    """Aliases from the question's name to `n<length>.test`."""
    names = [QUESTION.name, *(f"n{number}.test" for number in range(1, length + 1))]
    return [alias(one, other) for one, other in pairwise(names)]


ADDRESS = Record(NAME, "A", "198.51.100.1", 60)
HERE = b"\xc0\x0c"
# Answers to QUESTION that dnspython reads and we refuse.
STRICTER = {
    "a name in different case, which a spoofer would have to guess": rendered(ADDRESS, name=QUESTION.name.lower()),
    "an alias of two names": rendered(alias(QUESTION.name, "a.test"), alias(QUESTION.name, "b.test")),
    f"more than {MAX_RECORDS} records": rendered(
        *(Record(NAME, "A", str(ipaddress.IPv4Address(n)), 60) for n in range(MAX_RECORDS + 1))
    ),
    "an opcode other than QUERY": rendered(ADDRESS, flags=0x8180 | 4 << 11),
}
# Answers that we read and dnspython refuses. The defects are after the part that we read, or in records that we do not use.
LAXER = {
    "bytes after the last record": (rendered(ADDRESS) + b"\0", Answer(0, ("198.51.100.1",), 60)),
    "an AAAA record of three bytes": (raw(HERE, 28, b"\1\2\3"), Answer(0)),
    "truncated EDNS options": (raw(b"\0", OPT, b"\0\12\0\xff", section=ADDITIONAL), Answer(0)),
    "a signature by an unknown key": (
        raw(b"\0", 250, b"\4hmac\0" + bytes(16), section=ADDITIONAL),
        Answer(0),
    ),
    "garbage after an error code": (rendered(flags=0x8183) + b"\xff" * 9, Answer(3)),
    "addresses for a name that does not exist": (rendered(ADDRESS, flags=0x8183), Answer(3)),
}


# Messages that both read in the same way, with their meaning. Most of them were read differently at some time.
SAME = {
    "a response code that only EDNS can hold": (Message(QUESTION, (ADDRESS,), rcode=16), Answer(16)),
    "a label with a dot is not two labels": (
        Message(QUESTION, (replace(ADDRESS, owner=dns.name.Name([b"www.example", b"test", b""])),)),
        Answer(0),
    ),
    "only ASCII letters have two cases": (
        Message(QUESTION, (alias(QUESTION.name, "\\192.test"), replace(ADDRESS, owner=dns.name.Name([b"\xe0", b"test", b""])))),
        Answer(0),
    ),
    "the same alias twice, in two cases": (
        Message(
            QUESTION, (alias(QUESTION.name, "a.test"), alias(QUESTION.name, "A.test"), replace(ADDRESS, owner=host("a.test")))
        ),
        Answer(0, ("198.51.100.1",), 60),
    ),
    "addresses in other sections": (
        Message(QUESTION, tuple(replace(ADDRESS, section=section) for section in (AUTHORITY, ADDITIONAL))),
        Answer(0),
    ),
    "a chain of 15": (
        Message(QUESTION, (*chain(15), replace(ADDRESS, owner=host("n15.test")))),
        Answer(0, ("198.51.100.1",), 60),
    ),
    "a chain of 16": (Message(QUESTION, (*chain(16), replace(ADDRESS, owner=host("n16.test")))), None),
    "a chain that is a loop": (Message(QUESTION, (*chain(3), alias("n3.test", "n1.test"))), None),
}


@pytest.mark.parametrize(("message", "answer"), SAME.values(), ids=SAME)
def test_messages_that_both_read_in_the_same_way(message: Message, answer: Answer | None) -> None:
    wire = message.wire()
    assert (ours(wire, QUESTION), theirs(wire, QUESTION)) == (answer, answer)


@pytest.mark.parametrize("wire", STRICTER.values(), ids=STRICTER)
def test_answers_that_only_we_refuse(wire: bytes) -> None:
    assert isinstance(dns.message.from_wire(wire), dns.message.Message)
    assert ours(wire, QUESTION) is None


@pytest.mark.parametrize(("wire", "answer"), LAXER.values(), ids=LAXER)
def test_answers_that_only_dnspython_refuses(wire: bytes, answer: Answer) -> None:
    with pytest.raises((dns.exception.DNSException, ValueError)):
        dns.message.from_wire(wire).resolve_chaining()  # type: ignore[attr-defined]
    assert ours(wire, QUESTION) == answer


def query(change: Callable[[Any], None] = lambda made: None, *, name: Any = QUESTION.name, group: str = "IN") -> bytes:
    made = dns.message.make_query(name, "A", group, id=QUESTION.id)
    change(made)
    return bytes(made.to_wire())


# Queries that dnspython reads and we do not accept: `refuse` answers those with one question.
REFUSED = {
    "another class": query(group="CH"),
    "a label with other than host name characters": query(name=dns.name.Name([b"a b", b"test", b""])),
    "a label that begins with a hyphen": query(name="-a.test"),
    "the root": query(name="."),
    "another opcode": query(lambda made: made.set_opcode(dns.opcode.NOTIFY)),
    "records in the answer section": query(lambda made: made.answer.append(ADDRESS.rrset())),
    "more than two additional records": query(
        lambda made: made.additional.extend(Record(NAME, "TXT", text, 0).rrset() for text in ("a", "b", "c"))
    ),
}


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED)
def test_queries_that_we_refuse(wire: bytes) -> None:
    read = dns.message.from_wire(wire)
    with pytest.raises(MessageError):
        dns_message.parse_query(wire)
    refused = dns_message.refuse(wire)
    assert refused is not None
    assert read.is_response(dns.message.from_wire(refused[1]))


def test_two_questions_or_an_answer_get_no_refusal() -> None:
    two = bytearray(query())
    two[5] = 2
    for wire in (bytes(two) + bytes(query()[12:]), rendered(ADDRESS)):
        assert isinstance(dns.message.from_wire(wire), dns.message.Message)
        assert dns_message.refuse(wire) is None


def test_data_after_the_question_of_a_query_is_ignored() -> None:
    wire = bytearray(query())
    wire[11] = 1
    with pytest.raises(dns.exception.DNSException):
        dns.message.from_wire(bytes(wire))
    assert dns_message.parse_query(bytes(wire)) == QUESTION
