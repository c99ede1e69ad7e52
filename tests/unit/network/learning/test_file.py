"""The allowlist that a learning run writes, and the record behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network import allowlist, grant
from network.allowlist import Allowlist, Entry
from network.learning import file
from network.learning.record import MAX_NAMES, MAX_PROGRAMS, Record, Request, Standing

AT = 1_800_000_000.0
REGISTRIES = {"npm": ("registry.example",), "pip": ("index.example",)}


def run(
    listed: str = "", *refused: file.Refused, used: frozenset[str] = frozenset(), by_hand: tuple[Entry, ...] = ()
) -> file.Run:
    entries = allowlist.parse(listed, "domains.conf", REGISTRIES).allowlist.entries
    return file.Run("work", AT, AT + 60, entries, by_hand, used, refused, ("api.github.com",))


def request(
    name: str, method: str = "GET", path: str = "/a", *, port: int = 443, feature: str = "", answered: bool = True
) -> Request:
    return Request(name, port, method, path, feature, answered)


def recorded(*requests: Request) -> Record:
    record = Record()
    for one in requests:
        record.opened(one.name, AT)
        record.request(one, AT + 1)
    return record


def entries(text: str) -> Allowlist:
    return allowlist.parse(text, "learned.conf", REGISTRIES).allowlist


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_a_name_gets_the_ports_and_requests_that_were_used() -> None:
    record = recorded(
        request("a.example"), request("b.example", port=80), request("c.example"), request("c.example", port=80),
        request("d.example", "POST", "/v1/items/7"), request("d.example", port=80),
    )  # fmt: skip
    text = file.render(record, run())
    assert lines(text) == [
        "a.example:443 read", "b.example:80 read", "c.example read", "d.example:443 POST:/v1/items/*", "d.example:80 read",
    ]  # fmt: skip
    assert [warning.text for warning in allowlist.parse(text, "learned.conf").warnings] == [
        "d.example:80 read"
    ]  # one line, one grant


def test_who_asked_how_often_and_when() -> None:
    record = Record()
    record.asked("a.example", "npm install\n# evil.example")
    record.opened("a.example", AT)
    record.asked("a.example", "curl")
    for path in ("/1", "/2"):
        record.request(request("a.example", path=path), AT + 61)
    assert "# a.example: by npm?install???evil.example, curl; GET 2; 08:00:00 to 08:01:01\na.example:443 read\n" in file.render(
        record, run()
    )


@pytest.mark.parametrize("feature", ["upgrade", "body", "override"])
def test_what_needs_open_is_named_at_the_top(feature: str) -> None:
    text = file.render(recorded(request("a.example", feature=feature)), run())
    assert lines(text) == ["a.example:443 open"]
    head = text.partition("# ---")[0]
    assert "OPEN FOR ANY REQUEST" in head
    assert "#   a.example: " in head


def test_a_client_that_refuses_the_gates_certificate() -> None:
    record = Record()
    record.opened("a.example", AT)
    record.connection("a.example", 443, 500, AT)  # of before: the gate's own bytes
    assert record.untrusted("a.example")
    assert not record.untrusted("a.example")
    assert record.names["a.example"].standing is Standing.ASKED
    record.connection("a.example", 443, 0, AT)
    assert record.names["a.example"].standing is Standing.ASKED
    record.connection("a.example", 443, 500, AT)
    record.request(request("a.example"), AT)  # of another client, which accepts it
    text = file.render(record, run())
    assert lines(text) == ["a.example:443 open"]
    assert "a client refused the gate's certificate" in text


def test_what_did_not_answer_or_was_never_opened_gets_no_entry() -> None:
    record = recorded(request("silent.example", answered=False))
    record.request(request("unopened.example"), AT)
    record.untrusted("unopened.example")
    record.opened("closed.example", AT)
    record.request(request("closed.example"), AT)
    record.keep("closed.example", ())
    text = file.render(record, run())
    assert lines(text) == []
    assert file.NOTHING in text
    assert "#   silent.example\n" in text.partition("nothing answered")[2]
    assert "#   closed.example\n" in text.partition("closed by the operator")[2]


def test_the_runs_own_allowlist_stays_as_it_was() -> None:
    listed = "a.example\n*.b.example read\nc.example:2222,443\n@npm\n@pip open\nregistry.example:8443/tls POST:/x\n"
    text = file.render(Record(), run(listed, used=frozenset({"a.example", "x.b.example"})))
    assert file._by_pattern(entries(text)) == file._by_pattern(entries(listed))
    assert lines(text) == [
        "a.example", "*.b.example read", "c.example:2222,443   # no connection in this run", "@npm",
        "registry.example:8443/tls POST:/x   # no connection in this run", "@pip open",
    ]  # fmt: skip


def test_names_that_the_operator_opened_are_kept() -> None:
    by_hand = Entry("hand.example", source="by hand").granting((grant.READ,))
    assert lines(file.render(Record(), run(by_hand=(by_hand,)))) == ["hand.example read"]


@pytest.mark.parametrize(
    ("kept", "expected", "standing"),
    [
        ((443, 80), ["a.example:443 POST:/x", "a.example:80 read"], Standing.ANSWERED),
        ((80,), ["a.example:80 read"], Standing.ANSWERED),
        ((443,), ["a.example:443 POST:/x"], Standing.ANSWERED),
        ((), [], Standing.CLOSED),
    ],
)
def test_only_ports_that_the_run_still_opens_are_learned(
    kept: tuple[int, ...], expected: list[str], standing: Standing
) -> None:
    record = recorded(request("a.example", "POST", "/x"), request("a.example", port=80))
    record.keep("a.example", kept)
    record.request(request("a.example", "PUT", "/late", port=443 if 80 in kept and len(kept) == 1 else 8080), AT + 2)
    assert lines(file.render(record, run())) == expected
    assert record.names["a.example"].standing is standing


def test_a_port_that_was_closed_needs_no_open() -> None:
    record = recorded(request("a.example", feature="upgrade"), request("a.example", port=80))
    record.untrusted("a.example")
    record.keep("a.example", (80,))
    record.connection("a.example", 443, 500, AT)
    text = file.render(record, run())
    assert lines(text) == ["a.example:80 read"]
    assert "OPEN FOR ANY REQUEST" not in text and "GET 1;" in text


def test_a_name_that_the_operator_allowed_is_not_listed_as_closed() -> None:
    record = recorded(request("a.example"))
    record.keep("a.example", ())
    text = file.render(record, run(by_hand=(Entry("a.example", source="by hand"),)))
    assert lines(text) == ["a.example"]
    assert "closed by the operator" not in text


def test_wildcards_are_only_suggested() -> None:
    names = [*(f"{label}.cdn.example" for label in "abc"), *(f"{label}.com" for label in "abc")]
    text = file.render(recorded(*map(request, names)), run())
    assert not any("*" in line for line in lines(text))
    assert "#   *.cdn.example instead of 3 names" in text
    assert "*.com" not in text


def test_refusals_are_listed_as_not_learned() -> None:
    evil = file.Refused("x\nevil.example open", "", 443, "not on the allowlist\r\nevil.example", 3)
    text = file.render(Record(), run("", evil, file.Refused("", "192.0.2.7", 22, "no DNS lookup", 1)))
    assert "#   192.0.2.7:22: no DNS lookup, once" in text
    assert lines(text) == []
    assert all(refused not in entries(text).entries for refused in (Entry("evil.example"),))


@given(
    st.lists(st.tuples(st.sampled_from(["GET", "POST", "PUT", "LINK", "\n"]), st.text(max_size=40)), max_size=8),
    st.lists(st.text(max_size=20), max_size=4),
    st.text(max_size=40),
)
def test_no_text_of_the_agent_adds_an_entry(requests: list[tuple[str, str]], programs: list[str], refused: str) -> None:
    record = Record()
    record.opened("a.example", AT)
    for program in programs:
        record.asked("a.example", program)
    for method, path in requests:
        record.request(request("a.example", method, "/" + path), AT)
    text = file.render(record, run("listed.example read", file.Refused(refused, "", 0, refused, 1)))
    patterns = {entry.pattern for entry in entries(text).entries}
    assert patterns <= {"a.example", "listed.example"}
    assert ("a.example" in patterns) is bool(requests)
    assert text.isascii()
    assert all(character.isprintable() for line in text.split("\n") for character in line)


def test_a_record_is_bounded() -> None:
    record = Record()
    for number in range(MAX_NAMES + 50):
        record.asked(f"n{number}.example", "curl")
        record.opened(f"n{number}.example", AT)
    for number in range(2 * MAX_PROGRAMS):
        record.asked("n0.example", f"program{number}")
    assert len(record.names) == MAX_NAMES
    assert len(record.names["n0.example"].programs) == MAX_PROGRAMS


def test_changes_are_taken_once() -> None:
    record = recorded(request("a.example"), request("b.example"))
    assert [each.name for each in record.take_changed(1)] == ["a.example"]
    assert [each.name for each in record.take_changed(9)] == ["b.example"]
    assert record.take_changed(9) == ()
    record.request(request("a.example"), AT)
    assert [each.name for each in record.take_changed(9)] == ["a.example"]
