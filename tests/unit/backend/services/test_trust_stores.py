"""The trust stores for Node.js and Java: what they contain, and that no entry of an existing store is lost."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from backend import system
from backend.contract.paths import Paths
from backend.services.trust_stores import TrustStores, certificates, java, pem

SHIPPED, LOCAL, GATE, NEXT = b"shipped" * 9, b"local" * 9, b"gate" * 9, b"next" * 9


def entries(store: bytes) -> list[bytes]:
    """Reads a JKS store as Java does: returns its certificates, after a check of the digest."""
    digest = hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20], usedforsecurity=False).digest()
    assert store[-20:] == digest
    magic, version, count = struct.unpack_from("!III", store)
    assert (magic, version) == (0xFEEDFEED, 2)
    found, at = [], 12
    for _ in range(count):
        (tag,) = struct.unpack_from("!I", store, at)
        assert tag == 2
        at += 4
        at += 2 + struct.unpack_from("!H", store, at)[0] + 8
        at += 2 + struct.unpack_from("!H", store, at)[0]
        (length,) = struct.unpack_from("!I", store, at)
        found.append(store[at + 4 : at + 4 + length])
        at += 4 + length
    assert at == len(store) - 20
    return found


def test_an_existing_store_keeps_its_entries() -> None:
    first = java(b"", [], [SHIPPED])
    assert entries(java(first, [b"not used"], [LOCAL, GATE])) == [SHIPPED, LOCAL, GATE]


@pytest.mark.parametrize("store", [b"0\x82PKCS #12" + bytes(100), b"\xfe\xed", b"\xfe\xed\xfe\xed\0\0\0\1" + bytes(40)])
def test_a_store_of_another_format_is_replaced_by_the_systems_bundle(store: bytes) -> None:
    assert entries(java(store, [SHIPPED, LOCAL], [LOCAL, GATE])) == [SHIPPED, LOCAL, GATE]


def test_the_stores_have_all_authorities_of_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(tmp_path)
    for folder in (paths.run, paths.shipped_authorities, paths.java_authorities.parent):
        folder.mkdir(parents=True)
    (paths.shipped_authorities / "a.crt").write_text(pem(SHIPPED))
    paths.java_authorities.write_bytes(java(b"", [], [SHIPPED]))
    mounted: list[Path] = []  # no file twice: nothing can be mounted over a mounted file that has been deleted
    monkeypatch.setattr(system, "bind", lambda source, target: mounted.append(source))
    stores = TrustStores(paths, "# a comment\n" + pem(SHIPPED) + pem(LOCAL))
    for authorities in ([GATE], [GATE, NEXT]):
        stores.write([f"# ours\n{pem(one)}" for one in authorities])
        assert certificates(paths.node_authorities.read_text()) == (LOCAL, *authorities)
        assert entries(mounted[-1].read_bytes()) == [SHIPPED, LOCAL, *authorities]
    assert len(set(mounted)) == 2


def test_without_java_there_is_no_store_for_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    TrustStores(paths, pem(SHIPPED)).write([pem(GATE)])
    assert not [*paths.run.glob("cacerts*")]
    assert certificates(paths.node_authorities.read_text()) == (SHIPPED, GATE)  # nothing is known to be built in
