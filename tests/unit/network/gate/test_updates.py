"""Single lines of the gate's lists and maps: the commands have the effect of a replacement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network import allowlist
from network.allowlist import Allowlist
from network.gate import grants, haproxy, updates

FILE = "/x"


def performed(kind: str, lines: tuple[str, ...], commands: list[str]) -> list[str]:
    """The lines after the commands, as HAProxy has them: it adds at the end, and changes in place."""
    result = list(lines)
    for command in commands:
        action, of, file, rest = command.split(" ", 3)
        assert (of, file) == (kind, FILE)
        key = rest.split(" ")[0] if kind == "map" else rest
        places = [n for n, line in enumerate(result) if (line.split(" ")[0] if kind == "map" else line) == key]
        if action == "add":
            assert not places
            result.append(rest)
        elif action == "set":
            (place,) = places
            result[place] = rest
        else:
            (place,) = places
            del result[place]
    return result


NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(lambda labels: ".".join((*labels, "example")))
LINES = st.builds(
    lambda below, name, ports, words: f"{'*.' if below else ''}{name}{ports}{words}", st.booleans(), NAMES,
    st.sampled_from(["", ":443", ":80,8443/tls"]), st.sampled_from(["", " read", " POST:/v1/items"]),
)  # fmt: skip


def parsed(lines: list[str]) -> Allowlist:
    unique = {line.partition(" ")[0].partition(":")[0]: line for line in lines}
    return allowlist.parse("\n".join(unique.values()), "f").allowlist


@given(st.lists(LINES, max_size=8), st.lists(LINES, max_size=8))
def test_every_name_has_the_same_grant_as_after_a_replacement(before: list[str], now: list[str]) -> None:
    old, new = parsed(before), parsed(now)
    replaced = {**grants.maps(new), **haproxy.names(new), grants.PATTERNS: grants.patterns(new)}
    known = {**grants.maps(old), **haproxy.names(old), grants.PATTERNS: grants.patterns(old)}
    for name, lines in replaced.items():
        kind, suffixes = ("map" if name in grants.MAPS else "acl"), name.startswith("below")
        commands = updates.commands(kind, FILE, known[name], lines, suffixes=suffixes)
        if commands is None:
            continue
        result = performed(kind, known[name], commands)
        assert sorted(result) == sorted(lines)
        if suffixes:
            for key in (f"{name}:443" for name in ("x.a.example", "x.b.a.example", "x.c.b.a.example", "a.a.a.example")):
                assert first(result, key) == first(lines, key)


def first(lines: list[str] | tuple[str, ...], name: str) -> str | None:
    """The value of the first suffix that matches."""
    return next((line.split(" ")[1] for line in lines if name.endswith(line.split(" ")[0])), None)


@pytest.mark.parametrize(
    ("kind", "suffixes", "before", "now", "commands"),
    [
        ("acl", False, ("a",), ("a", "b"), ["add acl /x b"]),
        ("acl", False, ("a", "b"), ("b",), ["del acl /x a"]),
        ("acl", False, ("a",), ("b",), None),
        ("map", False, ("a:443 open", "b:443 open"), ("b:443 b:443", "c:443 open"),
         ["del map /x a:443", "set map /x b:443 b:443", "add map /x c:443 open"]),
        ("map", True, (".example:443 open",), (".a.example:443 k", ".example:443 open"), None),
        ("map", True, (".example:80 open",), (".a.example:443 k", ".example:80 open"), ["add map /x .a.example:443 k"]),
        ("map", True, (".a.example:443 k",), (".a.example:443 k", ".example:443 open"), ["add map /x .example:443 open"]),
        ("acl", False, (), tuple(map(str, range(updates.MAX_LINES + 1))), None),
        ("map", False, ("a open",), ("a open",), []),
    ],
)  # fmt: skip
def test_commands(kind: str, suffixes: bool, before: tuple[str, ...], now: tuple[str, ...], commands: list[str] | None) -> None:
    assert updates.commands(kind, FILE, before, now, suffixes=suffixes) == commands
