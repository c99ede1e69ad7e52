"""The trust stores of runtimes that do not read the system's CA bundle: Node.js and bun, and Java.

Node.js and bun have Mozilla's authorities built in and add those in a file; each certificate there costs time at every start.
So the file has only those that Mozilla's list lacks: the gate's, and those that the operator has added to the system.
Java reads one file, /etc/ssl/certs/java/cacerts in Debian. Its format is JKS (sun.security.provider.JavaKeyStore), which every
Java reads regardless of its default type (keystore.type.compat).
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterable, Sequence

from backend import system
from backend.contract.paths import Paths
from backend.system import SystemFailure

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_MAGIC, _VERSION, _TRUSTED = 0xFEEDFEED, 2, 2
_HEADER = struct.Struct("!III")  # magic, version, number of entries
_DIGEST_SIZE = 20
PASSWORD = "changeit"  # of every cacerts file, documented by Java; it protects nothing


class TrustStores:
    """Keeps the stores. `bundle` is the system's CA bundle without the gate's authorities."""

    def __init__(self, paths: Paths, bundle: str) -> None:
        self._paths = paths
        shipped = frozenset(
            c for file in sorted(paths.shipped_authorities.rglob("*.crt")) for c in certificates(file.read_text())
        )
        self._bundle = certificates(bundle)
        self._local = tuple(certificate for certificate in self._bundle if certificate not in shipped)
        self._written = 0  # stores for Java
        self._java = paths.java_authorities.read_bytes() if paths.java_authorities.is_file() else b""

    def write(self, authorities: Sequence[str]) -> None:
        """Writes all stores with the gate's authorities (PEM). Raises SystemFailure.

        A store is replaced, never changed, so that a program which has opened it reads it whole.
        """
        added = [*self._local, *(certificate for text in authorities for certificate in certificates(text))]
        system.write(self._paths.node_authorities, "".join(map(pem, added)))
        if self._java:
            # A file of its own each time: the kernel mounts nothing over a mounted file that has been deleted (ENOENT).
            self._written += 1
            store = self._paths.java_trusted.with_suffix(f".{self._written}")
            try:
                store.write_bytes(java(self._java, self._bundle, added))
            except OSError as error:
                store.unlink(missing_ok=True)
                raise SystemFailure(f"cannot write Java's trust store: {error.strerror or error}") from error
            system.bind(store, self._paths.java_authorities)


def certificates(text: str) -> tuple[bytes, ...]:
    """Returns the certificates of a PEM text, in DER."""
    return tuple(base64.b64decode(body) for body in _CERTIFICATE.findall(text))


def pem(certificate: bytes) -> str:
    body = base64.encodebytes(certificate).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def java(store: bytes, bundle: Iterable[bytes], added: Iterable[bytes]) -> bytes:
    """Returns a JKS store with the entries of `store` and the `added` certificates.

    If `store` has another format (PKCS #12), the entries are those of `bundle` instead.
    """
    count, entries = 0, b""
    if len(store) >= _HEADER.size + _DIGEST_SIZE and _HEADER.unpack_from(store)[:2] == (_MAGIC, _VERSION):
        count, entries = _HEADER.unpack_from(store)[2], store[_HEADER.size : -_DIGEST_SIZE]
    else:
        added = [*bundle, *added]
    for number, certificate in enumerate(dict.fromkeys(added)):
        count, entries = count + 1, entries + _entry(f"codetainer:{number}", certificate)
    text = _HEADER.pack(_MAGIC, _VERSION, count) + entries
    digest = hashlib.sha1(PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + text, usedforsecurity=False)
    return text + digest.digest()


def _entry(alias: str, certificate: bytes) -> bytes:
    """A trusted certificate: tag, alias, time (0: unknown), type, content. Strings are preceded by their length."""

    def string(text: str) -> bytes:
        return struct.pack("!H", len(text)) + text.encode("ascii")

    return (
        struct.pack("!I", _TRUSTED)
        + string(alias)
        + bytes(8)
        + string("X.509")
        + struct.pack("!I", len(certificate))
        + certificate
    )
