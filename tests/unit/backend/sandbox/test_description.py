"""Descriptions of a pretend internet: what they mean, and everything that is wrong with one at once."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.sandbox.pretend import description
from backend.sandbox.pretend.description import LISTENERS, DescriptionError, Listener, Name, Speaks, parse


def test_the_shipped_one() -> None:
    shipped = description.load(description.SHIPPED)
    assert shipped.repo_url == "https://github.com/example/demo"
    assert shipped.listeners == LISTENERS
    assert {"github.com", "api.anthropic.com"} <= {name.name for name in shipped.names}


def test_a_name_whole() -> None:
    found = parse(
        '[[name]]\nname = "A.Test."\naddresses = ["198.51.100.1"]\nttl = 5\nlatency_ms = 20\nrotate = "192.0.2.0/24"\n'
        '[[name]]\nname = "b.test"\ncname = "a.test"\n',
        "f",
    )
    assert found.names == (
        Name("a.test", ("198.51.100.1",), "", 5, 0.02, "192.0.2.0/24"),
        Name("b.test", (), "a.test", 60, 0.0, ""),
    )


def test_nothing_is_needed() -> None:
    found = parse("", "f")
    assert (found.resolver, found.names, found.repo_url, found.others) == ("203.0.113.53", (), "", "")


def test_a_lying_resolver_may_say_any_address() -> None:
    assert parse('name = [{ name = "a.test", addresses = ["127.0.0.1", "169.254.169.254"] }]', "f").names[0].addresses == (
        "127.0.0.1",
        "169.254.169.254",
    )


def test_listeners() -> None:
    found = parse('listener = [{ port = 22, speaks = "echo" }, { port = 444 }]', "f")
    assert found.listeners == (Listener(22, Speaks.ECHO), Listener(444, Speaks.HTTPS))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1", "x: not a known key"),
        ("resolver = ", "Invalid value"),
        ('resolver = "8.8.8.8"', "resolver: '8.8.8.8' is no address of 203.0.113.0/25"),
        ('resolver = "203.0.113.254"', "resolver"),  # the sandbox's own
        ("resolver = 5", "resolver: text is expected, found 5"),
        ('others = "1.1.1.1"', "others: '1.1.1.1'"),
        ("git = 5", "git: a table is expected"),
        ('git = { host = "github.com" }', "git: host and repository"),
        ('git = { host = "github.com", repository = "../../etc" }', "git: host and repository"),
        ('git = { host = "github.com", repository = "-x/y" }', "git: host and repository"),
        ('api = { host = "no name" }', "api: host: a host name is expected"),
        ("name = 5", "name: tables are expected"),
        ("name = [5]", "name: tables are expected"),
        ("name = [{}]", "name 1: name: a host name is expected, found ''"),
        ('name = [{ name = "a b.test" }]', "name 1"),
        ('name = [{ name = "a.test", x = 1 }]', "name 1: x: not a known key"),
        ('name = [{ name = "a.test", addresses = ["::1"] }]', "name 1 (a.test): addresses: '::1' is no IPv4 address"),
        ('name = [{ name = "a.test", addresses = "192.0.2.1.5" }]', "'192.0.2.1.5' is no IPv4 address"),
        ('name = [{ name = "a.test", addresses = [1] }]', "1 is no IPv4 address"),
        ('name = [{ name = "a.test", ttl = -1 }]', "ttl: a number from 0"),
        ('name = [{ name = "a.test", ttl = true }]', "ttl: a number from 0"),
        ('name = [{ name = "a.test", latency_ms = "fast" }]', "latency_ms: a number from 0"),
        ('name = [{ name = "a.test", rotate = "10.0.0.0/8" }]', "rotate: '10.0.0.0/8'"),
        ('name = [{ name = "a.test", cname = "b.test", rotate = "192.0.2.0/24" }]', "cname: goes without"),
        ('name = [{ name = "a.test" }, { name = "A.test" }]', "name a.test: described twice"),
        ("listener = [{ port = 53 }]", "listener 1: port"),
        ("listener = [{ speaks = 'https' }]", "listener 1: port"),
        ("listener = [{ port = 70000 }]", "listener 1: port: a number from 0 to 65535"),
        ("listener = [{ port = 80, speaks = 'gopher' }]", "'gopher' is none of https, http, echo"),
    ],
)
def test_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(DescriptionError, match="cannot make the pretend internet of file") as raised:
        parse(text, "file.toml")
    assert any(problem in found for found in raised.value.problems), raised.value.problems


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(DescriptionError) as raised:
        parse('resolver = "8.8.8.8"\nothers = "x"\nname = [{ name = "a" }, { name = "b.test", ttl = "x" }]', "f")
    assert len(raised.value.problems) == 4


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("name", "host", "port", "ttl", "x")), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(("resolver", "others", "git", "api", "name", "listener"))


@given(st.dictionaries(KEYS, VALUES))
def test_any_values_are_a_description_or_its_problems(body: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tomllib, "loads", lambda _: body)
        try:
            parse("", "f")
        except DescriptionError as error:
            assert error.problems
