"""Authorized keys: valid lines, and the line and reason in the error for all others."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from backend import settings
from backend.settings import SettingsError
from network.problems import Problems
from network.ssh import authorized_keys

NAME = "CODETAINER_SSH_KEYS"
GOOD = {"GH_PAT": "ghp_secret", "CLAUDE_CODE_OAUTH_TOKEN": "sk-secret"}


def public(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey) -> str:
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def packed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


ED25519 = public(ed25519.Ed25519PrivateKey.generate())
P256 = public(ec.generate_private_key(ec.SECP256R1()))
P521 = public(ec.generate_private_key(ec.SECP521R1()))
RSA = public(rsa.generate_private_key(65537, 2048))
SHORT = public(rsa.generate_private_key(65537, 1024))
DSA = "ssh-dss AAAAB3NzaC1kc3MAAACBAP"
SK = "sk-ssh-ed25519@openssh.com " + base64.b64encode(
    packed(b"sk-ssh-ed25519@openssh.com", base64.b64decode(ED25519.split()[1])[-32:], b"ssh:")
).decode()  # fmt: skip


@pytest.mark.parametrize("key", [ED25519, P256, P521, RSA, SK], ids=lambda key: key.split()[0])
@pytest.mark.parametrize(
    "options",
    ["", 'from="203.0.113.0/24,198.51.100.7" ', "restrict,pty ", 'command="codetainer status",no-pty ',
     'command="echo \\"a b\\"" ', 'expiry-time="20301231" ',
     'from="203.0.113.7",command="tail -f /run/codetainer/events.jsonl"\t'],
)  # fmt: skip
def test_valid_keys_are_returned_unchanged(key: str, options: str) -> None:
    line = f"{options}{key} somebody@example"
    assert authorized_keys.parse(f"# ours\n\n  {line}  \n", NAME) == (line,)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (ED25519[:-8], "it may be truncated"),
        (ED25519.replace("AAAA", "BBBB", 1), "not base64|does not have the type"),
        ("ssh-ed25519", "the key after its type is missing"),
        (f"ssh-rsa {ED25519.split()[1]}", "does not have the type in front of it"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA not base64", "it may be truncated"),
        (SHORT, "1024 bits"),
        (DSA, "'ssh-dss' is not a supported key type"),
        (f"cert-authority {ED25519}", "cert-authority is not allowed"),
        (f'principals="root" {ED25519}', "principals is not allowed"),
        (f'environment="LD_PRELOAD=/tmp/x" {ED25519}', "environment is not allowed"),
        (f'permitopen="host:22" {ED25519}', "permitopen is not allowed"),
        (f"port-forwarding {ED25519}", "port-forwarding is not allowed"),
        (f"agent-forwarding {ED25519}", "agent-forwarding is not allowed"),
        (f'tunnel="0" {ED25519}', "tunnel is not allowed"),
        (f"command {ED25519}", "command needs a value"),
        (f'restrict="yes" {ED25519}', "restrict takes no value"),
        (f'command="open {ED25519}', "invalid options|no key type found"),
        (f"restrict, pty {ED25519}", "invalid options|no key type found"),
        ("https://github.com/somebody.keys", "invalid options|no key type found"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "is not a supported key type"),
        ("restrict", "no key type found"),
        (f"{ED25519} a\x1b[2Jb", "control characters"),
    ],
    ids=lambda text: "key" if "AAAA" in text else None,  # keys differ in each process, but test ids must not
)
def test_invalid_lines_are_refused(line: str, words: str) -> None:
    with pytest.raises(Problems, match=words) as caught:
        authorized_keys.parse(f"{ED25519}\n\n{line}\n", NAME)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{NAME}: line 3: ")


def test_errors_name_every_invalid_line_and_repeat_no_private_key() -> None:
    private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n-----END OPENSSH PRIVATE KEY-----"
    with pytest.raises(SettingsError) as caught:
        settings.load({**GOOD, NAME: private})
    assert "line 1: a private key" in str(caught.value)
    assert "b3BlbnNz" not in str(caught.value)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("text", ["# none yet", " \n "])
def test_a_value_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="contains no key"):
        settings.load({**GOOD, NAME: text})


def test_a_host_key_has_the_fingerprint_of_ssh_keygen() -> None:
    key = authorized_keys.new_host_key()
    assert key.public.startswith("ssh-ed25519 AAAA")
    assert key.private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert authorized_keys.new_host_key().public != key.public
    assert repr(key) == f"HostKey({key.public!r})"
    # The output of ssh-keygen -l for this key.
    known = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    assert authorized_keys.fingerprint(known) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        authorized_keys.parse(text, NAME)
    except Problems as error:
        assert error.problems
