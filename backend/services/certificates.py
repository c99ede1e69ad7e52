"""`python3 -I -m backend certificates`: makes a CA for the hosts whose TLS terminates at the gate, and their certificates.

Name constraints (RFC 5280, section 4.2.1.10) limit the CA to these hosts. Its key ends with this process, as do the 10 MB of
`cryptography`. Reads `Wanted` from stdin and writes `Made` to stdout, both as JSON.

`python3 -I -m backend certificates --sign` does so for a learning run, whose names are not known at boot: its CA has no
constraints, and its key stays in this process until the run ends. It reads a `Wanted` from each line and writes a `Made`.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from typing import TypedDict

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

COMMON_NAME = "Codetainer gate of this boot"


class Wanted(TypedDict):
    """A request for certificates for `names`, valid from `skew` seconds ago until `seconds` from now."""

    names: Sequence[str]
    seconds: float
    skew: float


class Made(TypedDict):
    """The results as PEM: `authority` for all trust stores inside, `leaves` (by name: key and certificate) for the gate."""

    authority: str
    leaves: dict[str, str]


class Validity:
    """The validity (UTC) of certificates that are made now."""

    def __init__(self, wanted: Wanted) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.begin = now - datetime.timedelta(seconds=wanted["skew"])
        self.end = now + datetime.timedelta(seconds=wanted["seconds"])


def main() -> int:
    """Reads the request from stdin and writes the certificates to stdout."""
    json.dump(make(json.load(sys.stdin)), sys.stdout)
    return 0


def sign() -> int:
    """Answers requests on stdin until it ends, with certificates of one CA. A request without names only gets the CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{COMMON_NAME}, learning run")])
    authority: x509.Certificate | None = None
    for line in sys.stdin:
        wanted: Wanted = json.loads(line)
        valid = Validity(wanted)
        if authority is None:
            authority = _authority(issuer, key, valid, None)
        leaves = {name: _leaf(name, issuer, key, valid) for name in wanted["names"]}
        made: Made = {"authority": _pem(authority), "leaves": leaves}
        sys.stdout.write(json.dumps(made) + "\n")
        sys.stdout.flush()
    return 0


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _authority(
    issuer: x509.Name, key: ec.EllipticCurvePrivateKey, valid: Validity, constraints: x509.NameConstraints | None
) -> x509.Certificate:
    builder = _builder(issuer, issuer, key.public_key(), valid).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    return builder.add_extension(_usage(signs_certificates=True), critical=True).sign(key, hashes.SHA256())


def make(wanted: Wanted) -> Made:
    """Makes a CA and the certificates. Each has one name, because HTTP/2 clients share connections between several.

    A name can be a wildcard. Its constraint includes the name above it: not every client accepts one with a leading dot.
    """
    names, valid = wanted["names"], Validity(wanted)
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME)])
    constraints = x509.NameConstraints([x509.DNSName(name.removeprefix("*.")) for name in names], None)
    authority = _authority(issuer, key, valid, constraints)
    leaves = {name: _leaf(name, issuer, key, valid) for name in names}
    return {"authority": _pem(authority), "leaves": leaves}


def _leaf(name: str, issuer: x509.Name, authority: ec.EllipticCurvePrivateKey, valid: Validity) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        _builder(subject, issuer, key.public_key(), valid)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs_certificates, crl_sign=signs_certificates, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, valid: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid.begin)
        .not_valid_after(valid.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
