"""The hosts in the package tools' own configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.boot import registries
from network import allowlist


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("https://packages.example/npm/\n", ("packages.example",)),
        ("https://user:secret@packages.example/simple", ("packages.example",)),
        ("https://proxy.example,direct\nsum.example\n", ("proxy.example", "sum.example")),
        ("http://mirror.example:8081/debian http://mirror.example:8081/debian", ("mirror.example:8081/http",)),
        ("https://packages.example:8443/x|off", ("packages.example:8443/tls",)),
        ("undefined\n\noff direct", ()),
        ("http://10.0.0.1:3141/", ("10.0.0.1:3141/http",)),
        ("https://[bad", ()),
    ],
)
def test_hosts_in_the_output_of_a_tool(text: str, hosts: tuple[str, ...]) -> None:
    assert registries.hosts(text) == hosts


def test_every_package_registry_is_read() -> None:
    assert {*registries._COMMANDS, "apt"} == set(allowlist.REGISTRY_TOOLS)


def test_apt_sources_in_both_formats(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "# deb http://commented.example/ x main\n"
        "deb [ arch=amd64 signed-by=/x ] http://one.example/debian stable main\n"
        "deb-src\thttps://two.example/debian stable main\n"
        "debug http://no.example/ x\n"
    )
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "a.sources").write_text(
        "Types: deb\n# URIs: http://commented.example/\nURIs: http://three.example/a\n http://four.example/b\nSuites: x\n"
        "\n"
        "Types: deb\nenabled: no\nuris: http://disabled.example/\n"
        " \n"
        "types: deb deb-src\nuris:https://five.example/\nSuites: x\n"
    )
    (parts / "b.list").write_bytes(b"deb http://six.example/\xff stable main\n")
    (parts / "c.list~").write_text("deb http://backup.example/ stable main\n")
    (parts / "d e.list").write_text("deb http://badname.example/ stable main\n")
    expected = ["one", "two", "three", "four", "five", "six"]
    assert registries.hosts(registries.apt_sources(tmp_path)) == tuple(f"{name}.example" for name in expected)
    assert registries.apt_sources(tmp_path / "missing") == ""


async def test_tools_with_the_same_command_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def ask(argv: tuple[str, ...]) -> tuple[str, ...]:
        asked.append(argv)
        return ("npm.example",)

    monkeypatch.setattr(registries, "_ask", ask)
    assert await registries.find(["npm", "bun"]) == {"npm": ("npm.example",), "bun": ("npm.example",)}
    assert asked == [registries._NPM]
