"""A certificate authority for the pretend internet that issues a certificate for each requested name."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Hosts with a certificate that a client must not accept, by the first label of their name.
EXPIRED, SELF_SIGNED, OTHER_NAME = "expired", "self-signed", "other-name"
VALID = datetime.timedelta(days=30)


class Authority:
    """A certificate authority whose key exists only in this process's memory."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Codetainer pretend internet")])
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        self._certificate = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        """The authority's certificate, for the sandbox to trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def context(self, name: str, folder: Path) -> ssl.SSLContext:
        """A server's TLS context for one name. The client chose the name, so it must not become part of a file name.

        Python can pass a key to OpenSSL only in a file, here a temporary one below `folder`. Each call has its own, since
        several threads may create the same context at once, and would overwrite a shared file while others read it.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".pem") as file:
            file.write(self.leaf(name))
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def leaf(self, name: str) -> bytes:
        """A new key and a certificate for one name, in PEM. It is invalid for the names at the top of this file."""
        key = ec.generate_private_key(ec.SECP256R1())
        label = name.partition(".")[0]
        name = "another.test" if label == OTHER_NAME else name
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        builder = self._builder(subject, key.public_key(), age=2 * VALID if label == EXPIRED else datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        if label == SELF_SIGNED:
            builder = builder.issuer_name(subject)
        certificate = builder.sign(key if label == SELF_SIGNED else self._key, hashes.SHA256())
        pem = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, *pem) + certificate.public_bytes(serialization.Encoding.PEM)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, age: datetime.timedelta = datetime.timedelta(hours=1)
    ) -> x509.CertificateBuilder:
        begin = datetime.datetime.now(datetime.UTC) - age
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + VALID)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
