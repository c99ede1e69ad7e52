"""The hosts in the package tools' own configuration."""

from __future__ import annotations

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


def test_every_package_registry_has_a_command() -> None:
    assert set(registries._COMMANDS) == set(allowlist.REGISTRY_TOOLS)
