"""The operator's public keys, one per line (sshd(8), AUTHORIZED_KEYS FILE FORMAT), and this sandbox's own host key.

sshd skips invalid lines; here, an invalid line stops the boot. Only options that restrict a key are allowed. An option that
lets other keys in, or permits something that sshd_config has disabled, is an error, so that no operator relies on it.
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
RESTRICTING = frozenset((
    "command", "expiry-time", "from", "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-user-rc", "no-x11-forwarding",
    "pty", "restrict", "verify-required",
))  # fmt: skip
WITH_VALUE = frozenset(("command", "expiry-time", "from"))
_OPTION = re.compile(r'([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?(,|[ \t]+|\Z)')


def parse(text: str, source: str) -> tuple[str, ...]:
    """Returns the lines with a key, for sshd to read. Raises Problems with all invalid lines and their reasons.

    The reasons repeat no part of a line that could be secret.
    """
    keys, problems = [], []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if reason := _wrong(line):
            problems.append(f"{source}: line {number}: {reason}")
        keys.append(line)
    if not keys:
        problems.append(f"{source}: contains no key; expected one public key per line, as in id_ed25519.pub")
    if problems:
        raise Problems(problems)
    return tuple(keys)


def _wrong(line: str) -> str:
    """Returns the reason why a line is not an acceptable key, or ""."""
    if "PRIVATE KEY" in line:
        return "a private key; expected a public key. If others can read these settings, replace the key pair"
    if not line.replace("\t", " ").isprintable():
        return "contains control characters"
    words = line.split(None, 1)
    if words[0] not in TYPES and not _looks_like_a_type(words[0]):
        options, line, reason = _options(line)
        if reason:
            return reason
        for name, value in options:
            if name not in RESTRICTING:
                return f"the option {name} is not allowed; allowed are {', '.join(sorted(RESTRICTING))}"
            if (name in WITH_VALUE) != (value is not None):
                return f"the option {name} {'needs a' if name in WITH_VALUE else 'takes no'} value"
        words = line.split(None, 1)
    kind = words[0] if words else ""
    if kind not in TYPES:
        reason = f"{kind[:60]!a} is not a supported key type" if _looks_like_a_type(kind) else "no key type found"
        return f"{reason}; expected TYPE KEY [COMMENT], with TYPE one of {', '.join(TYPES)}"
    if len(words) < 2:
        return "the key after its type is missing"
    return _wrong_key(kind, words[1].split()[0])


def _looks_like_a_type(word: str) -> bool:
    return bool(re.fullmatch(r"(sk-)?(ssh|ecdsa|rsa|webauthn)-[a-z0-9@.-]{1,80}", word))


def _options(line: str) -> tuple[list[tuple[str, str | None]], str, str]:
    """Parses the options before a key. Returns them, the rest of the line, and "" or the reason why they are invalid."""
    options: list[tuple[str, str | None]] = []
    at = 0
    while match := _OPTION.match(line, at):
        options.append((match[1].lower(), match[2]))
        at = match.end()
        if match[3] != ",":
            return options, line[at:], ""
    return [], "", 'invalid options: expected NAME or NAME="VALUE", separated by commas without blanks'


def _wrong_key(kind: str, text: str) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm  # imported here: 10 MB that are often not needed
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        blob = base64.b64decode(text, validate=True)
        named = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii")
    except (binascii.Error, ValueError):
        return "the key is not base64; it may be truncated or split into two lines"
    if named != kind:
        return f"the key does not have the type in front of it, {kind}"
    try:
        key = serialization.load_ssh_public_key(f"{kind} {text}".encode())
    except (ValueError, UnsupportedAlgorithm):
        return "the key is invalid; it may be truncated"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS:
        return f"an RSA key of {key.key_size} bits; expected at least {RSA_BITS}, or an ssh-ed25519 key"
    if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return f"unsupported key; expected one of {', '.join(TYPES)}"
    return ""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host key. `private` is in OpenSSH's format and left out of the repr; `public` is `TYPE KEY`, as in known_hosts."""

    private: str
    public: str

    def __repr__(self) -> str:
        return f"HostKey({self.public!r})"

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)


def new_host_key() -> HostKey:
    from cryptography.hazmat.primitives import serialization  # imported here, as above
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return HostKey(private.decode(), public.decode())


def fingerprint(public: str) -> str:
    """Returns a key's fingerprint in the form of `ssh-keygen -l`: SHA256 of its bytes in base64 without padding."""
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
