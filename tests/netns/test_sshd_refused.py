"""Refusals of the sandbox's sshd: other keys, other authentication methods, other users, every kind of forwarding."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.netns.sandbox import PATIENCE, eventually
from tests.netns.test_sshd import PORT, Door, new_key, opened

pytestmark = pytest.mark.netns

__all__ = ["opened"]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_an_unknown_key_is_refused(opened: Door, tmp_path: Path, kind: str) -> None:
    done = opened.run("true", key=new_key(tmp_path, kind))
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr


@pytest.mark.parametrize("method", ["password", "keyboard-interactive", "hostbased", "gssapi-with-mic", "none"])
def test_only_keys_are_accepted(opened: Door, method: str) -> None:
    done = opened.run("true", options=("-v", "-o", f"PreferredAuthentications={method}", "-o", "LogLevel=DEBUG1"))
    assert done.returncode == 255
    offered = set(re.findall(rb"Authentications that can continue: (.*?)\r?\n", done.stderr))
    assert offered == {b"publickey"}, done.stderr


def test_only_root_can_log_in(opened: Door) -> None:
    for user in ("claude", "guard", "daemon", "nobody"):
        assert opened.run("true", options=("-l", user)).returncode == 255


REFUSED_FORWARDS = ("-R 4000:127.0.0.1:1", "-R /tmp/back:127.0.0.1:1", "-w any", "-W 127.0.0.53:53", "-W 198.51.100.10:443")


@pytest.mark.parametrize("asked", REFUSED_FORWARDS)
def test_every_forwarding_is_refused(opened: Door, asked: str) -> None:
    command = () if asked.startswith("-W") else ("true",)
    done = opened.run(*command, options=("-o", "ExitOnForwardFailure=yes", *asked.split()))
    assert done.returncode == 255
    assert b"failed" in done.stderr


def test_neither_agent_nor_display_is_forwarded(opened: Door) -> None:
    assert opened.run("echo $SSH_AUTH_SOCK$DISPLAY", options=("-A", "-X")).stdout == b"\n"


SOCKS4 = (
    b"\x04\x01" + PORT.to_bytes(2, "big") + bytes((127, 0, 0, 1)) + b"\0"
)  # to sshd itself, which sends a banner to every client


@pytest.mark.parametrize(
    ("asked", "first"),
    [("-L {}:/run/codetainer/control.sock", b"{}\n"), ("-L {}:127.0.0.1:2222", b""), ("-D {}", SOCKS4)],
)
def test_ports_that_the_client_forwards_lead_nowhere(opened: Door, tmp_path: Path, asked: str, first: bytes) -> None:
    here = tmp_path / "here"
    with subprocess.Popen(opened.argv("-N", *asked.format(here).split()), stderr=subprocess.DEVNULL) as ssh:
        try:
            eventually("ssh listens", here.exists)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(str(here))
                answer = b""
                with contextlib.suppress(ConnectionError):
                    sock.sendall(first)
                    while data := sock.recv(1000):
                        answer += data
            assert len(answer) <= 8, answer  # no more than the client's own answer in SOCKS
        finally:
            ssh.kill()  # on SIGTERM it may wait for the server
