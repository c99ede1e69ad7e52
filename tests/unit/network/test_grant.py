"""The grammar of grants, and the requests that each permits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network import allowlist, grant
from network.allowlist import AllowlistError
from network.gate import grants
from network.names import EntryError

REGISTRIES = {"npm": ("packages.example",), "pip": ("packages.example", "files.example:8443/tls"), "bun": ("packages.example",)}


def parsed(text: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """The grants of each entry."""
    return {e.pattern: e.grants for e in allowlist.parse(text, "list", REGISTRIES).allowlist.entries}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.test", ()),
        ("a.test open", ()),
        ("a.test read", ("read",)),
        ("a.test\tread   # a comment", ("read",)),
        ("a.test POST:/v1/track/**", ("POST:/v1/track/**",)),
        ("a.test POST:/x read GET:/y", ("read", "POST:/x")),
        ("a.test GET:/x/ GET:/x DELETE:/y/*", ("GET:/x", "DELETE:/y/*")),
        ("a.test PUT:/", ("PUT:/",)),
        ("a.test:443,8443/tls read", ("read",)),
    ],
)
def test_grants_of_an_entry(text: str, expected: tuple[str, ...]) -> None:
    assert parsed(text) == {"a.test": (expected,)}


@pytest.mark.parametrize(
    ("text", "column", "reason", "remedy"),
    [
        ("a.test READ", 8, "expected small letters", "Write read."),
        ("a.test write", 8, "unknown grant", "Write read, open, or METHOD:/PATH"),
        ("a.test read,open", 8, "unknown grant", "Write read, open"),
        ("a.test read open", 8, "open already grants read", "either open or the requests"),
        ("a.test POST", 8, "a method needs a path", "Write POST:/** for every path."),
        ("a.test post:/x", 8, "expected the method in capital letters", "Write POST:/x."),
        ("a.test FETCH:/x", 8, "unknown method", "Use one of GET HEAD"),
        ("a.test POST /x", 8, "a method needs a path", "POST:/**"),
        ("a.test /x", 8, "a path needs a method", "GET:/x"),
        ("a.test POST:x", 13, "a path must begin with a slash", "POST:/x"),
        ("a.test GET:/x?y=1", 14, "a path cannot contain ?", "Leave out the query"),
        ("a.test GET:/x%2fy", 14, "a path cannot contain %", "decoded"),
        ("a.test GET:/x/../y", 12, "a path cannot contain // or dot segments", ""),
        ("a.test GET:/x//y", 12, "a path cannot contain // or dot segments", ""),
        ("a.test GET:/x*/y", 14, "* must be a whole segment", "/v1/*/name"),
        ("a.test GET:/x\\y", 12, "a path can contain only the characters of URLs", ""),
        ("a.test:22 read", 1, "port 22 is opened by address", "22/tls"),
        ("a.test b.test", 7, "expected one entry per line", ""),
        ("@npm write", 6, "unknown grant", ""),
        ("@cargos read", 1, "unknown package registry", ""),
    ],
)
def test_a_mistake_is_named(text: str, column: int, reason: str, remedy: str) -> None:
    with pytest.raises(AllowlistError) as caught:
        parsed(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (1, column), problem
    assert problem.reason.startswith(reason), problem
    assert remedy in problem.remedy, problem


def test_registries_grant_what_their_tools_need() -> None:
    both = parsed("@npm\n@pip\n@bun\n")
    assert both["packages.example"] == (("read", "POST:/-/npm/v1/security/**", "POST:/**/-/npm/v1/security/**"),)
    assert both["files.example"] == (("read",),)
    assert parsed("@pip open\n")["files.example"] == ((),)
    assert parsed("@pip GET:/simple/**\n")["files.example"] == (("GET:/simple/**",),)


def test_entries_for_the_same_names_grant_what_both_grant() -> None:
    text = "a.test read\na.test POST:/x\nb.test read\nb.test\nc.test:443 read\nc.test:8443/tls\n"
    found = allowlist.parse(text, "list")
    grants_of = {entry.pattern: entry.grants for entry in found.allowlist.entries}
    assert grants_of == {"a.test": (("read", "POST:/x"),), "b.test": ((),), "c.test": (("read",), ())}
    assert [warning.reason for warning in found.warnings] == [
        "duplicate of list:1; together they grant read POST:/x",
        "duplicate of list:3; together they grant open",
        "duplicate of list:5; together they grant read and open",
    ]


def test_a_variable_contains_grants_too() -> None:
    found = allowlist.parse_words("a.test read, b.test:443,8443/tls POST:/x,PUT:/y c.test", "VARIABLE").allowlist
    assert {str(entry) for entry in found.entries} == {"a.test read", "b.test:443,8443/tls POST:/x PUT:/y", "c.test"}


@pytest.mark.parametrize(
    ("words", "granted", "refused"),
    [
        (("read",), ["GET=/a", "HEAD=/", "OPTIONS=/a/b", "GET=-"], ["POST=/a", "get=/a", "GETX=/a", "XGET=/a", "GE=/"]),
        (("GET:/a/*",), ["GET=/a/b", "HEAD=/a/b"], ["GET=/a", "GET=/a/b/c", "OPTIONS=/a/b", "GET=-", "GET=/A/b", "GET=/xa/b"]),
        (("POST:/a/**",), ["POST=/a/b", "POST=/a/b/c"], ["POST=/a", "POST=/ab/c", "POST=/x/a/b", "GET=/a/b", "POST=-"]),
        (("PUT:/a.b/(c)+",), ["PUT=/a.b/(c)+"], ["PUT=/axb/(c)+", "PUT=/a.b/c", "PUT=/a.b/(c)+/d"]),
        (("POST:/**/x/**",), ["POST=/a/x/b", "POST=/a/b/x/c"], ["POST=/x/b"]),
        (("PUT:/",), ["PUT=/"], ["PUT=/a"]),
    ],
)
def test_requests_that_a_grant_permits(words: tuple[str, ...], granted: list[str], refused: list[str]) -> None:
    entry = allowlist.parse_entry("*.a.test:443").granting(words)
    patterns = grants.patterns(allowlist.Allowlist((entry,)))
    for request in granted:
        assert any(re.match(p, f"*.a.test:443={request}") for p in patterns), request
        assert not any(re.match(p, f"*.axtest:443={request}") or re.match(p, f"b.a.test:443={request}") for p in patterns)
    for request in refused:
        assert not any(re.match(p, f"*.a.test:443={request}") for p in patterns), request


def test_the_maps_have_one_value_for_each_entry_and_the_longest_wildcard_first() -> None:
    text = "a.test\n*.o.test read\n*.b.o.test\nc.test:80,443,22\nd.test:8443/tls PUT:/x\n"
    listed = allowlist.parse(text, "list").allowlist
    assert grants.maps(listed) == {
        "exact": ("a.test:443 open", "c.test:443 open", "d.test:8443 d.test:8443"),
        "below": (".b.o.test:443 open", ".o.test:443 *.o.test:443"),
        "exact_http": ("a.test:80 open", "c.test:80 open"),
        "below_http": (".b.o.test:80 open", ".o.test:80 *.o.test:80"),
    }
    assert grants.opened(listed) == ("*.o.test", "d.test")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("x.o.test:443", ("read",)),
        ("x.b.o.test:443", ()),
        ("a.test:443", ()),
        ("a.test:8443", None),
        ("o.test:443", None),
        ("c.test:22", None),
    ],
)
def test_the_most_specific_entry_decides(key: str, words: tuple[str, ...] | None) -> None:
    listed = allowlist.parse("a.test\n*.o.test read\n*.b.o.test\nc.test:443,22\n", "list").allowlist
    assert grants.of_key(listed, key) == words


def test_the_rules_for_a_credential_replace_the_grant() -> None:
    listed = allowlist.parse("a.test read\nb.test read\n*.a.test read\n", "list").allowlist
    governed = listed.governed({"a.test"}, grant.BY_CREDENTIAL)
    assert str(governed.entries[0]) == "a.test"
    assert [e.grants for e in governed.entries] == [(grant.BY_CREDENTIAL,), (("read",),), (("read",),)]
    assert "a.test:443 open" in grants.maps(governed)["exact"]
    assert grant.union(grant.BY_CREDENTIAL, ("read",)) == grant.BY_CREDENTIAL


def test_an_entry_is_written_as_it_was_read() -> None:
    for text in ("a.test", "a.test read", "*.a.test:8443/tls read POST:/x/**"):
        (entry,) = allowlist.parse(text, "list").allowlist.entries
        assert str(entry) == text


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_words_are_parsed_or_refused(words: list[str]) -> None:
    try:
        found = grant.parse([(0, word) for word in words])
    except EntryError:
        return
    for pattern in grant.patterns(found):
        re.compile(pattern)
        assert not re.search(r"[\s\\;#]", pattern)
