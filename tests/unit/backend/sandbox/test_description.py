"""Descriptions of a pretend internet: parsed values, and all problems of an invalid one."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.sandbox.pretend import description
from backend.sandbox.pretend.description import LISTENERS, DescriptionError, Listener, Name, Speaks, parse


def test_the_shipped_description() -> None:
    shipped = description.load(description.SHIPPED)
    assert shipped.repo_url == "https://github.com/example/demo"
    assert shipped.listeners == LISTENERS
    assert {"github.com", "api.anthropic.com"} <= {name.name for name in shipped.names}


def test_a_name_with_all_its_keys() -> None:
    parsed = parse(
        '[[name]]\nname = "A.Test."\naddresses = ["198.51.100.1"]\nttl = 5\nlatency_ms = 20\nrotate = "192.0.2.0/24"\n'
        'folder = "/srv/packages"\n'
        '[[name]]\nname = "b.test"\ncname = "a.test"\n',
        "f",
    )
    assert parsed.names == (
        Name("a.test", ("198.51.100.1",), "", 5, 0.02, "192.0.2.0/24", Path("/srv/packages")),
        Name("b.test", (), "a.test", 60, 0.0, ""),
    )


def test_all_keys_are_optional() -> None:
    parsed = parse("", "f")
    assert (parsed.resolver, parsed.names, parsed.repo_url, parsed.others) == ("203.0.113.53", (), "", "")


def test_answers_may_contain_any_address() -> None:
    assert parse('name = [{ name = "a.test", addresses = ["127.0.0.1", "169.254.169.254"] }]', "f").names[0].addresses == (
        "127.0.0.1",
        "169.254.169.254",
    )


def test_listeners() -> None:
    parsed = parse('listener = [{ port = 22, speaks = "echo" }, { port = 444 }]', "f")
    assert parsed.listeners == (Listener(22, Speaks.ECHO), Listener(444, Speaks.HTTPS))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1", "x: unknown key"),
        ("resolver = ", "Invalid value"),
        ('resolver = "8.8.8.8"', "resolver: expected an address in 203.0.113.0/25"),
        ('resolver = "203.0.113.254"', "resolver"),  # the sandbox's own
        ("resolver = 5", "resolver: expected text, found 5"),
        ('others = "1.1.1.1"', "others: expected a documentation address (RFC 5737), found '1.1.1.1'"),
        ("git = 5", "git: expected a table"),
        ('git = { host = "github.com" }', "git: expected both host and repository"),
        ('git = { host = "github.com", repository = "../../etc" }', "git: expected both host and repository"),
        ('git = { host = "github.com", repository = "-x/y" }', "git: expected both host and repository"),
        ('git = { files = { "a" = "b" } }', "git: files need a repository"),
        ("git = { files = 5 }", "git: files: expected a table of texts by path, found 5"),
        ('git = { files = { "a" = 5 } }', "git: files: a: expected text, found 5"),
        ('git = { files = { "../a" = "" } }', "git: files: expected a path relative to the repository, found '../a'"),
        ('git = { files = { "/a" = "" } }', "git: files: expected a path relative to the repository, found '/a'"),
        ('git = { files = { ".git/config" = "" } }', "git: files: expected a path relative to the repository"),
        ('api = { host = "no name" }', "api: host: expected a host name"),
        ("name = 5", "name: expected tables"),
        ("name = [5]", "name: expected tables"),
        ("name = [{}]", "name 1: name: expected a host name, found ''"),
        ('name = [{ name = "a b.test" }]', "name 1"),
        ('name = [{ name = "a.test", x = 1 }]', "name 1: x: unknown key"),
        (
            'name = [{ name = "a.test", addresses = ["::1"] }]',
            "name 1 (a.test): addresses: expected an IPv4 address, found '::1'",
        ),
        ('name = [{ name = "a.test", addresses = "192.0.2.1.5" }]', "expected an IPv4 address, found '192.0.2.1.5'"),
        ('name = [{ name = "a.test", addresses = [1] }]', "expected an IPv4 address, found 1"),
        ('name = [{ name = "a.test", ttl = -1 }]', "ttl: expected a number from 0"),
        ('name = [{ name = "a.test", ttl = true }]', "ttl: expected a number from 0"),
        ('name = [{ name = "a.test", latency_ms = "fast" }]', "latency_ms: expected a number from 0"),
        ('name = [{ name = "a.test", folder = "packages" }]', "folder: expected an absolute path, found 'packages'"),
        ('name = [{ name = "a.test", certificate = "a.pem" }]', "certificate: expected an absolute path, found 'a.pem'"),
        ('name = [{ name = "a.test", rotate = "10.0.0.0/8" }]', "found '10.0.0.0/8'"),
        ('name = [{ name = "a.test", cname = "b.test", rotate = "192.0.2.0/24" }]', "cname: cannot be combined with"),
        ('name = [{ name = "a.test" }, { name = "A.test" }]', "name a.test: described twice"),
        ("listener = [{ port = 53 }]", "listener 1: port"),
        ("listener = [{ speaks = 'https' }]", "listener 1: port"),
        ("listener = [{ port = 70000 }]", "listener 1: port: expected a number from 0 to 65535"),
        ("listener = [{ port = 80, speaks = 'gopher' }]", "expected one of https, http, echo, found 'gopher'"),
    ],
)
def test_each_problem_is_reported(text: str, problem: str) -> None:
    with pytest.raises(DescriptionError, match="cannot make the pretend internet described in file") as raised:
        parse(text, "file.toml")
    assert any(problem in line for line in raised.value.problems), raised.value.problems


def test_all_problems_are_reported_at_once() -> None:
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
def test_any_toml_gives_a_description_or_problems(body: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tomllib, "loads", lambda _: body)
        try:
            parse("", "f")
        except DescriptionError as error:
            assert error.problems
