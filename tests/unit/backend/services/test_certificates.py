"""The gate's certificates, verified as a client does."""

from __future__ import annotations

import datetime
import io
import json
import sys

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from backend.services import certificates
from backend.services.certificates import Wanted

WANTED: Wanted = {"names": ["api.example", "git.example"], "seconds": 3600.0, "skew": 60.0}


def verified(leaf: x509.Certificate, authority: x509.Certificate, name: str, at: datetime.datetime) -> None:
    policy = PolicyBuilder().store(Store([authority])).time(at)
    policy.build_server_verifier(x509.DNSName(name)).verify(leaf, [])


def test_certificates_verify_for_their_names_during_their_validity(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(WANTED)))
    monkeypatch.setattr(sys, "stdout", out)
    begun = datetime.datetime.now(datetime.UTC)
    assert certificates.main() == 0
    made = json.loads(out.getvalue())
    authority = x509.load_pem_x509_certificate(made["authority"].encode())
    assert made["leaves"].keys() == set(WANTED["names"])
    for name, pem in made["leaves"].items():
        leaf = x509.load_pem_x509_certificate(pem.encode())
        for seconds in (-50, 0, 3590):
            verified(leaf, authority, name, begun + datetime.timedelta(seconds=seconds))
        for wrong, seconds in (("other.example", 0), (name, -120), (name, 3700)):
            with pytest.raises(VerificationError):
                verified(leaf, authority, wrong, begun + datetime.timedelta(seconds=seconds))
    assert "PRIVATE KEY" not in made["authority"]


def test_the_ca_is_constrained_to_its_names() -> None:
    authority = x509.load_pem_x509_certificate(certificates.make(WANTED)["authority"].encode())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName(name) for name in WANTED["names"]]
