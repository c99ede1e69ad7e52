"""DNS messages: queries and the answers that are accepted for them, also with arbitrary and damaged bytes."""

from __future__ import annotations

import contextlib
import struct

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.dns import dns_message
from network.dns.dns_message import CNAME, MAX_POINTERS, A, Answer, MessageError, Question

QUESTION = Question(7, "wWw.exAmple.com")


def name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def record(owner: bytes, kind: int, data: bytes, ttl: int = 60) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def message(*records: bytes, ident: int = 7, asked: str = QUESTION.name, flags: int = 0x8180) -> bytes:
    head = struct.pack("!6H", ident, flags, 1, len(records), 0, 0)
    return head + name(asked) + struct.pack("!HH", A, 1) + b"".join(records)


HERE = b"\xc0\x0c"
ONE, OTHER = b"\xc6\x33\x64\x01", b"\xc6\x33\x64\x02"


def test_a_query_and_its_answer() -> None:
    query = dns_message.build_query(QUESTION)
    assert dns_message.parse_query(query) == QUESTION
    wire = dns_message.build_answer(QUESTION, dns_message.NOERROR, ("198.51.100.1", "198.51.100.2"), 30)
    assert dns_message.parse_answer(wire, QUESTION) == Answer(0, ("198.51.100.1", "198.51.100.2"), 30)


def test_the_records_of_an_answer_have_the_name_in_lower_case() -> None:
    wire = dns_message.build_answer(Question(7, "WWW.Example.com"), dns_message.NOERROR, ("198.51.100.1", "198.51.100.2"), 30)
    read = dns.message.from_wire(wire)
    assert read.question[0].name.to_text() == "WWW.Example.com."
    assert [rrset.name.to_text() for rrset in read.answer] == ["www.example.com."]
    assert len(wire) == 12 + 2 * len(name("www.example.com")) + 4 + 14 + 16


def test_a_chain_is_followed_from_the_name_in_the_question() -> None:
    data = message(
        record(name("c.example"), A, ONE, 20),
        record(HERE, CNAME, name("b.example"), 90),
        record(name("B.example"), CNAME, name("c.example"), 40),
        record(name("evil.example"), A, OTHER),
    )
    assert dns_message.parse_answer(data, QUESTION) == Answer(0, ("198.51.100.1",), 20)


@pytest.mark.parametrize(
    "data",
    [
        message(record(HERE, A, ONE), ident=8),
        message(record(HERE, A, ONE), asked="www.example.com"),  # different case: 0x20
        message(record(HERE, A, ONE), asked="other.example"),
        message(record(HERE, A, ONE), flags=0x0180),
        message(record(HERE, A, ONE), flags=0x8980),
        message(record(HERE, A, b"\x01\x02\x03")),
        message(record(HERE, A, b"\x00" * 16)),
        message(record(HERE, CNAME, name("b.example") + b"x")),
        message(record(HERE, CNAME, b"\xc0\x0c")),  # an alias of itself
        message(record(b"\xc0\xff", A, ONE)),
        message(record(HERE, A, ONE))[:-1],
        b"",
    ],
)
def test_data_that_does_not_answer_the_question_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        dns_message.parse_answer(data, QUESTION)


def test_addresses_of_other_names_are_ignored() -> None:
    data = message(record(name("evil.example"), A, ONE))
    assert dns_message.parse_answer(data, QUESTION) == Answer(0)


def test_a_name_has_only_so_many_pointers() -> None:
    """Thousands would fit into a message, and each of its thousands of records could follow them."""
    first = len(message()) + len(record(HERE, 16, b""))  # the offset of the first one, in a record of another type
    for count, rejected in ((MAX_POINTERS - 1, False), (MAX_POINTERS, True)):
        places = (12, *range(first, first + 2 * count, 2))  # each points to the one before it
        pointers = [struct.pack("!H", 0xC000 | place) for place in places]
        wire = message(record(HERE, 16, b"".join(pointers[:-1])), record(pointers[-1], A, ONE))
        with pytest.raises(MessageError, match="too many pointers") if rejected else contextlib.nullcontext():
            assert dns_message.parse_answer(wire, QUESTION) == Answer(0, ("198.51.100.1",), 60)


def test_a_truncated_answer_has_no_addresses() -> None:
    assert dns_message.parse_answer(message(flags=0x8380), QUESTION) == Answer(0, truncated=True)


def test_error_codes_and_negative_ttls() -> None:
    assert dns_message.parse_answer(message(flags=0x8183), QUESTION).rcode == dns_message.NXDOMAIN
    assert dns_message.parse_answer(message(record(HERE, A, ONE, 0x80000000)), QUESTION).ttl == 0


@pytest.mark.parametrize(
    "data",
    [
        dns_message.build_answer(QUESTION, 0),
        struct.pack("!6H", 1, 0x0100, 2, 0, 0, 0) + name("a.example") * 2,
        struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + b"\x03a\x00b\x07example\x00\x00\x01\x00\x01",  # NUL in a label
        struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + b"\x03a b\x07example\x00\x00\x01\x00\x01",
        struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + b"\x03a.b\x07example\x00\x00\x01\x00\x01",  # a dot in a label
        struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + b"\x00\x00\x01\x00\x01",
        struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01",
        struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + name("a.example") + struct.pack("!HH", A, 3),
    ],
)
def test_data_that_is_not_a_plain_query_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        dns_message.parse_query(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    for parse in (dns_message.parse_query, lambda d: dns_message.parse_answer(d, QUESTION)):
        with contextlib.suppress(MessageError):
            parse(data)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 200))
def test_a_damaged_answer_never_yields_an_address_that_it_does_not_contain(damage: bytes, place: int) -> None:
    whole = message(record(HERE, A, ONE), record(name("evil.example"), A, OTHER))
    data = whole[:place] + damage + whole[place + len(damage) :]
    try:
        answer = dns_message.parse_answer(data, QUESTION)
    except MessageError:
        return
    for address in answer.addresses:
        assert bytes(map(int, address.split("."))) in data


@pytest.mark.parametrize(
    ("address", "special"),
    [
        ("127.0.0.1", True), ("10.1.2.3", True), ("169.254.169.254", True), ("100.64.0.1", True), ("172.31.255.255", True),
        ("192.168.1.1", True), ("224.0.0.1", True), ("255.255.255.255", True), ("0.0.0.0", True), ("198.18.0.1", True),
        ("198.51.100.1", False), ("8.8.8.8", False), ("172.32.0.1", False), ("100.128.0.1", False),
    ],
)  # fmt: skip
def test_special_purpose_addresses(address: str, special: bool) -> None:
    assert dns_message.is_special(address) is special


@given(st.integers(0, 2**256 - 1))
def test_mixed_case_is_the_same_name(bits: int) -> None:
    assert dns_message.mixed_case("www.example-1.com", bits).lower() == "www.example-1.com"
