"""sshd's configuration as text, and the lines of its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from network.ssh import sshd
from network.ssh.sshd import LogEvent, Places

TEXT = sshd.render(sshd.TEMPLATE.read_text(), Places(Path("/run/codetainer/ssh")), 2222)
DIRECTIVES = dict(line.split(None, 1) for line in TEXT.splitlines() if line and not line.startswith("#"))


def test_paths_and_port() -> None:
    assert DIRECTIVES["Port"] == "2222"
    assert DIRECTIVES["HostKey"] == "/run/codetainer/ssh/host_key"
    assert DIRECTIVES["AuthorizedKeysFile"] == "/run/codetainer/ssh/authorized_keys"


@pytest.mark.parametrize(
    "directive",
    [
        "PasswordAuthentication", "KbdInteractiveAuthentication", "HostbasedAuthentication", "PermitEmptyPasswords", "UsePAM",
        "AllowTcpForwarding", "AllowStreamLocalForwarding", "AllowAgentForwarding", "X11Forwarding", "PermitTunnel",
        "GatewayPorts", "PermitUserRC", "PermitUserEnvironment",
    ],
)  # fmt: skip
def test_directives_that_are_off(directive: str) -> None:
    assert DIRECTIVES[directive] == "no"


def test_only_public_keys_log_in() -> None:
    assert DIRECTIVES["AuthenticationMethods"] == "publickey"
    assert DIRECTIVES["PermitRootLogin"] == "prohibit-password"
    assert DIRECTIVES["DisableForwarding"] == "yes"
    assert {"MaxStartups", "PerSourceMaxStartups"} <= set(DIRECTIVES)


def test_every_directive_occurs_once() -> None:
    """sshd uses the first of two and ignores the second."""
    assert len(DIRECTIVES) == sum(bool(line) and not line.startswith("#") for line in TEXT.splitlines())


LINES = [
    ("Server listening on 0.0.0.0 port 22.", LogEvent.LISTENING, None),
    (
        "Accepted publickey for root from 203.0.113.7 port 4002 ssh2: ED25519 SHA256:lF/HjtPqRMxENprOZmW3U49G",
        LogEvent.ACCEPTED,
        "203.0.113.7 with ED25519 SHA256:lF/HjtPqRMxENprOZmW3U49G",
    ),
    (
        "Invalid user Accepted publickey for root from 1.2.3.4 port 1 ssh2: ED25519 SHA256:abc from 203.0.113.7 port 9",
        LogEvent.REJECTED,
        None,
    ),
    ("Failed publickey for root from 203.0.113.7 port 1 ssh2: ED25519 SHA256:x", LogEvent.REJECTED, None),
    ("Connection closed by authenticating user root 203.0.113.7 port 57118 [preauth]", LogEvent.REJECTED, None),
    ("error: kex_exchange_identification: Connection closed by remote host", LogEvent.REJECTED, None),
    (
        "error: maximum authentication attempts exceeded for root from 203.0.113.7 port 1 ssh2 [preauth]",
        LogEvent.REJECTED,
        None,
    ),
    ("User daemon from 203.0.113.7 not allowed because not listed in AllowUsers", LogEvent.REJECTED, None),
    ("Server listening on :: port 22.", LogEvent.OTHER, None),
    ("Bind to port 22 on 0.0.0.0 failed: Address already in use.", LogEvent.NOT_LISTENING, None),
    ("error: Bind to port 22 on 0.0.0.0 failed: Address already in use.", LogEvent.NOT_LISTENING, None),
    ("error: Bind to port 22 on :: failed: Address already in use.", LogEvent.OTHER, None),
    ("/run/codetainer/ssh/sshd_config: line 9: Bad configuration option: Foo", LogEvent.OTHER, None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "event", "text"), LINES)
def test_log_lines(line: str, event: LogEvent, text: str | None) -> None:
    assert sshd.parse_line(line) == (event, line if text is None else text)
