"""What the sandbox's sshd refuses: other keys, other ways in, other users, every kind of forwarding."""

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
def test_a_key_that_was_not_given_gets_nowhere(opened: Door, tmp_path: Path, kind: str) -> None:
    done = opened.run("true", key=new_key(tmp_path, kind))
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr


@pytest.mark.parametrize("method", ["password", "keyboard-interactive", "hostbased", "gssapi-with-mic", "none"])
def test_there_is_no_other_way_in_than_a_key(opened: Door, method: str) -> None:
    done = opened.run("true", options=("-v", "-o", f"PreferredAuthentications={method}", "-o", "LogLevel=DEBUG1"))
    assert done.returncode == 255
    offered = set(re.findall(rb"Authentications that can continue: (.*?)\r?\n", done.stderr))
    assert offered == {b"publickey"}, done.stderr


def test_nobody_but_root_logs_in(opened: Door) -> None:
    for user in ("claude", "guard", "daemon", "nobody"):
        assert opened.run("true", options=("-l", user)).returncode == 255


REFUSED_FORWARDS = ("-R 4000:127.0.0.1:1", "-R /tmp/back:127.0.0.1:1", "-w any", "-W 127.0.0.53:53", "-W 198.51.100.10:443")


@pytest.mark.parametrize("asked", REFUSED_FORWARDS)
def test_no_forwarding_is_agreed_to(opened: Door, asked: str) -> None:
    command = () if asked.startswith("-W") else ("true",)
    done = opened.run(*command, options=("-o", "ExitOnForwardFailure=yes", *asked.split()))
    assert done.returncode == 255
    assert b"failed" in done.stderr


def test_neither_agent_nor_display_is_forwarded(opened: Door) -> None:
    assert opened.run("echo $SSH_AUTH_SOCK$DISPLAY", options=("-A", "-X")).stdout == b"\n"


SOCKS4 = b"\x04\x01" + PORT.to_bytes(2, "big") + bytes((127, 0, 0, 1)) + b"\0"  # to sshd itself, which greets whoever is there


@pytest.mark.parametrize(
    ("asked", "first"),
    [("-L {}:/run/codetainer/control.sock", b"{}\n"), ("-L {}:127.0.0.1:2222", b""), ("-D {}", SOCKS4)],
)
def test_what_the_client_listens_for_leads_nowhere(opened: Door, tmp_path: Path, asked: str, first: bytes) -> None:
    here = tmp_path / "here"
    with subprocess.Popen(opened.argv("-N", *asked.format(here).split()), stderr=subprocess.DEVNULL) as ssh:
        try:
            eventually("ssh listens", here.exists)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(str(here))
                said = b""
                with contextlib.suppress(ConnectionError):
                    sock.sendall(first)
                    while data := sock.recv(1000):
                        said += data
            assert len(said) <= 8, said  # no more than the client's own answer in SOCKS
        finally:
            ssh.kill()  # its own end may wait for a word of the server's
