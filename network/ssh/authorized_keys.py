"""Public keys as the operator gives them, one a line (sshd(8), AUTHORIZED_KEYS FILE FORMAT), and this sandbox's own host key.

sshd passes over a line that it cannot read; here every line is right or boot does not begin. Options may narrow what a key
may do. One that lets in somebody else, or grants what sshd has switched off, is an error: nobody shall believe it does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from network.problems import Problems

TYPES = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-rsa",
)  # fmt: skip
RSA_BITS = 2048
NARROWING = frozenset((
    "command", "expiry-time", "from", "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-user-rc", "no-x11-forwarding",
    "pty", "restrict", "verify-required",
))  # fmt: skip
WITH_VALUE = frozenset(("command", "expiry-time", "from"))
_OPTION = re.compile(r'([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?(,|[ \t]+|\Z)')


def parse(text: str, source: str) -> tuple[str, ...]:
    """The lines that hold a key, as sshd shall read them. Raises Problems: every line that is wrong, with the reason.

    Nothing of a line is repeated that could be a secret.
    """
    found, problems = [], []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if reason := _wrong(line):
            problems.append(f"{source}: line {number}: {reason}")
        found.append(line)
    if not found:
        problems.append(f"{source}: there is no key in it; expected a public key a line, as in id_ed25519.pub")
    if problems:
        raise Problems(problems)
    return tuple(found)


def _wrong(line: str) -> str:
    """Why a line is no authorized key, "" where it is one."""
    if "PRIVATE KEY" in line:
        return "a private key: only public ones belong here; this one is no secret any more where others read settings"
    if not line.replace("\t", " ").isprintable():
        return "control characters"
    words = line.split(None, 1)
    if words[0] not in TYPES and not _looks_like_a_type(words[0]):
        options, line, reason = _options(line)
        if reason:
            return reason
        for name, value in options:
            if name not in NARROWING:
                return f"the option {name} is not allowed; allowed are {', '.join(sorted(NARROWING))}"
            if (name in WITH_VALUE) != (value is not None):
                return f"the option {name} {'needs' if name in WITH_VALUE else 'has no'} value"
        words = line.split(None, 1)
    kind = words[0] if words else ""
    if kind not in TYPES:
        shown = f"{kind[:60]!a} is no type of key here" if _looks_like_a_type(kind) else "no type of key is in it"
        return f"{shown}; expected TYPE KEY [COMMENT], TYPE one of {', '.join(TYPES)}"
    if len(words) < 2:
        return "the key is missing behind its type"
    return _wrong_key(kind, words[1].split()[0])


def _looks_like_a_type(word: str) -> bool:
    return bool(re.fullmatch(r"(sk-)?(ssh|ecdsa|rsa|webauthn)-[a-z0-9@.-]{1,80}", word))


def _options(line: str) -> tuple[list[tuple[str, str | None]], str, str]:
    """Options before a key: what they are, the rest of the line, and why they cannot be read."""
    found: list[tuple[str, str | None]] = []
    at = 0
    while match := _OPTION.match(line, at):
        found.append((match[1].lower(), match[2]))
        at = match.end()
        if match[3] != ",":
            return found, line[at:], ""
    return [], "", 'options cannot be read: expected NAME or NAME="VALUE", commas and no blanks between them'


def _wrong_key(kind: str, text: str) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm  # late: 10 MB, for a process that may have no key to check
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        blob = base64.b64decode(text, validate=True)
        named = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii")
    except (binascii.Error, ValueError):
        return "the key is not base64: was a part of it lost, or broken into two lines?"
    if named != kind:
        return f"the key is not of the type that stands before it, {kind}"
    try:
        key = serialization.load_ssh_public_key(f"{kind} {text}".encode())
    except (ValueError, UnsupportedAlgorithm):
        return "the key cannot be read: was a part of it lost?"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS:
        return f"an RSA key of {key.key_size} bits; expected at least {RSA_BITS}, or an ssh-ed25519 key"
    if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return f"a key that is none of {', '.join(TYPES)}"
    return ""


@dataclass(frozen=True, slots=True)
class HostKey:
    """`private` in OpenSSH's own format; its text is in no repr. `public` is `TYPE KEY`, as it stands in known_hosts."""

    private: str
    public: str

    def __repr__(self) -> str:
        return f"HostKey({self.public!r})"

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)


def new_host_key() -> HostKey:
    from cryptography.hazmat.primitives import serialization  # late, as above
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return HostKey(private.decode(), public.decode())


def fingerprint(public: str) -> str:
    """As ssh shows it: SHA256 of the key's bytes in base64 without padding (ssh-keygen(1), -l)."""
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
