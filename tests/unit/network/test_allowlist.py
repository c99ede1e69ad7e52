"""The allowlist: valid and invalid entries, and the names that an entry opens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network import allowlist, foreign_syntax, names
from network.allowlist import AllowlistError, Check, Port
from network.names import EntryError


@pytest.mark.parametrize(
    ("text", "name", "below", "ports"),
    [
        ("example.com", "example.com", False, "443,80"),
        ("EXAMPLE.com.", "example.com", False, "443,80"),
        ("*.example.com", "example.com", True, "443,80"),
        ("example.com:443", "example.com", False, "443"),
        ("example.com:8443/tls,22", "example.com", False, "8443/tls,22"),
        ("example.com:8080/http", "example.com", False, "8080/http"),
        ("bücher.example", "xn--bcher-kva.example", False, "443,80"),
        ("_dmarc.example.com", "_dmarc.example.com", False, "443,80"),
        ("a" * 63 + ".example", "a" * 63 + ".example", False, "443,80"),
    ],
)
def test_an_entry(text: str, name: str, below: bool, ports: str) -> None:
    entry = allowlist.parse_entry(text)
    assert (entry.name, entry.below, ",".join(map(str, entry.ports))) == (name, below, ports)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the name is missing"),
        ("https://example.com/", "not a URL"),
        ("example.com/path", "without a path"),
        ("10.0.0.1", "not an address"),
        ("10.0.0.0/8", "not an address range"),
        ("2001:db8::1", "not an address"),
        ("[::1]", "not an address"),
        ("localhost", "a single label"),
        ("a..example", "empty"),
        ("a.-a.example", "begin or end"),
        ("a" * 64 + ".example", "at most 63"),
        ("a." * 130 + "example", "at most 253"),
        ("ex ample.com", "letters, digits"),
        ("ex\x00ample.com", "letters, digits"),
        ("a{b}.example", "letters, digits"),
        ("a.*.example", "* may only be the first label"),
        ("*example.com", "* may only be the first label"),
        ("**.example.com", "* may only be the first label"),
        ("*.com", "a single label"),
        ("example.123", "cannot be a number"),
        ("example.com:", "a port must be"),
        ("example.com:0", "a port must be"),
        ("example.com:65536", "a port must be"),
        ("example.com:443,", "a port must be"),
        ("example.com:443/udp", "/tls, /http"),
        ("example.com:" + ",".join(map(str, range(1, 20))), "at most 16"),
        ("ß.example", "IDNA"),
    ],
)
def test_invalid_entries_are_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(EntryError) as caught:
        allowlist.parse_entry(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason", "remedy"),
    [
        (
            ".example.com",
            "a domain with its subdomains, as in squid",
            "Write example.com and *.example.com, one per line.",
        ),
        ("- example.com", "a list item of YAML", "Write example.com without the dash."),
        ("- '*.example.com'", "a list item of YAML", "Write *.example.com without the dash."),
        ('"example.com",', "a name in quotes", "Write example.com without quotes."),
        ("example.com;", "a separator after the name", "Write example.com alone on its line."),
        ("[", "a bracket of JSON or TOML", "Write one name per line, without brackets."),
        ("0.0.0.0 example.com", "a line of a hosts file", "Write example.com without the address."),
        ("::1 a.example.com b.example.com", "a line of a hosts file", "Write a.example.com without the address."),
        (
            "||example.com^$third-party",
            "a filter of an ad blocker",
            "Write example.com, or *.example.com for the names below it.",
        ),
        ("git@example.com:octo/repo.git", "an address of git over ssh", "Write example.com:22 to open ssh to that host."),
        ("acl ok dstdomain .example.com", "a directive of another program", "Write only the name."),
        ("server=/example.com/192.0.2.1", "a directive of another program", "Write only the name."),
        ("// a remark", "not a comment", "Start comments with #."),
        ("!example.com", "an exception; the allowlist has none", "List the names that may be reached instead."),
        ("*", "everything; the allowlist opens names one by one", "List the names that may be reached."),
        (r"^(.+\.)?example\.com$", "a regular expression", "Write names, or *.example.com for all names below one."),
        (r".*\.example\.com", "a regular expression", "Write names, or *.example.com for all names below one."),
        ("/example/", "a regular expression", "Write names, or *.example.com for all names below one."),
        ("https://me@example.com:8443/a?b=c", "expected a host, not a URL", "Write only the host: example.com."),
    ],
)
def test_the_syntax_of_other_lists_is_recognised(text: str, reason: str, remedy: str) -> None:
    with pytest.raises(AllowlistError) as caught:
        allowlist.parse(f"{text}\n", "domains.conf")
    assert str(caught.value) == f"domains.conf:1:1: {reason}: {text!a}. {remedy}"


def test_the_encoding_of_an_allowlist() -> None:
    assert foreign_syntax.decode(b"\xef\xbb\xbf@npm\r\nexample.com\r\n") == "@npm\r\nexample.com\r\n"
    with pytest.raises(ValueError, match="UTF-16; save it as UTF-8"):
        foreign_syntax.decode("example.com\n".encode("utf-16"))
    with pytest.raises(ValueError, match="line 2 is not UTF-8"):
        foreign_syntax.decode(b"example.com\nexample\xff.com\n")


LIST = """\
# a comment
github.com        # a comment after an entry

*.example.org:443
Deep.Example.org:8443/tls
@npm
"""


def test_a_whole_allowlist() -> None:
    parsed = allowlist.parse(LIST, "domains.conf", {"npm": ("packages.example:8081/http",)})
    entries = {entry.pattern: entry for entry in parsed.allowlist.entries}
    assert list(entries) == ["github.com", "*.example.org", "deep.example.org", "packages.example"]
    assert entries["github.com"].source == "domains.conf:2"
    assert entries["packages.example"].source == "@npm (domains.conf:6)"
    assert entries["packages.example"].ports == (Port(8081, Check.HTTP, grant=allowlist.REGISTRY_GRANTS["npm"]),)
    assert parsed.warnings == ()


def test_all_errors_are_reported_at_once_with_their_places() -> None:
    with pytest.raises(AllowlistError) as caught:
        allowlist.parse("good.example\n  10.0.0.1\n@gem\nhttps://x\na.example b.example\n", "f")
    assert [(p.line, p.column) for p in caught.value.problems] == [(2, 3), (3, 1), (4, 1), (5, 10)]
    assert "f:2:3" in str(caught.value)
    assert all(problem.remedy for problem in caught.value.problems)


def test_duplicates_and_missing_tools_are_warnings() -> None:
    parsed = allowlist.parse("a.example\nA.example.:8443\n@bun\n", "f")
    assert [warning.line for warning in parsed.warnings] == [2, 3]
    assert [str(entry) for entry in parsed.allowlist.entries] == ["a.example:443,80,8443"]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("github.com", "github.com"),
        ("GitHub.COM.", "github.com"),
        ("sub.github.com", None),
        ("a.example.org", "*.example.org"),
        ("a.b.example.org", "*.example.org"),
        ("example.org", None),
        ("xexample.org", None),
        ("deep.example.org", "deep.example.org"),
        ("github.com.evil.test", None),
        ("github.com..", None),
        ("", None),
        ("*.example.org", None),
        ("a\x00.example.org", None),
    ],
)
def test_a_name_matches_the_narrowest_entry(name: str, pattern: str | None) -> None:
    listed = allowlist.parse(LIST, "f", {"npm": ()}).allowlist
    entry = listed.match(name)
    assert (entry.pattern if entry else None) == pattern


def test_entries_in_a_variable() -> None:
    parsed = allowlist.parse_words("a.example:443,8443, b.example\tc.example", "CODETAINER_EXTRA_DOMAINS")
    assert [str(entry) for entry in parsed.allowlist.entries] == ["a.example:443,8443", "b.example", "c.example"]


def test_merging_joins_the_ports_of_an_entry() -> None:
    one = allowlist.parse("a.example:443\n", "one").allowlist
    other = allowlist.parse("a.example:8443/tls\nb.example\n", "other").allowlist
    assert [str(e) for e in one.merged(other).entries] == ["a.example:443,8443/tls", "b.example"]
    assert [str(e) for e in one.merged(other).without("a.example").entries] == ["b.example"]


@pytest.mark.parametrize(
    ("text", "broad"), [("*.github.io", True), ("*.co.uk", True), ("*.example.com", False), ("github.io", False)]
)
def test_broad_wildcards(text: str, broad: bool) -> None:
    assert allowlist.is_broad(allowlist.parse_entry(text)) is broad


def test_package_registries_in_an_allowlist() -> None:
    assert allowlist.referenced_registries("@npm\n # @pip\n@npm\n@gem\n@go # why\n") == ("npm", "go")


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused_with_a_reason(text: str) -> None:
    try:
        parsed = allowlist.parse(text, "f")
    except AllowlistError as error:
        assert error.problems
        return
    for entry in parsed.allowlist.entries:
        assert names.normalise(entry.name) == entry.name
        assert parsed.allowlist.match(f"x.{entry.name}" if entry.below else entry.name) is not None


@given(st.text(alphabet="ab.*-_ABü\x00 ", max_size=20))
def test_matching_never_exceeds_the_allowlist(name: str) -> None:
    """Compares with the definition: equal, or below a wildcard at a dot."""
    listed = allowlist.parse("a.b\n*.b.a\n", "f").allowlist
    plain = name.lower().removesuffix(".") if name.isascii() else name
    allowed = plain == "a.b" or (plain.endswith(".b.a") and all(plain.removesuffix(".b.a").split(".")))
    if listed.match(name) is not None:
        assert allowed
