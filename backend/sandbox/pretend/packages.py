"""A package registry in the pretend internet, for npm, pip, go, cargo and apt. Every host serves it below /registry.

It has one package `thing` in version 1.0.0 for each tool. Sources: npm's registry API, PEP 503, the Go module proxy protocol
(https://go.dev/ref/mod#goproxy-protocol), cargo's sparse index (https://doc.rust-lang.org/cargo/reference/registry-index.html),
Debian's repository format (https://wiki.debian.org/DebianRepository/Format), deb(5).
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Mapping

from backend.sandbox.pretend import releases

PREFIX = "/registry"
VERSION = "1.0.0"
MODULE = "packages.test/thing"
_AUDIT = re.compile(r"/npm/-/npm/v1/security/.*")
_JSON = "application/json"


def answer(host: str, method: str, path: str) -> tuple[int, bytes, Mapping[str, str]] | None:
    """The answer to a request below PREFIX; None for any other path."""
    if not path.startswith(f"{PREFIX}/"):
        return None
    below = path.removeprefix(PREFIX).replace("%2f", "/").replace("%2F", "/")
    if method in ("GET", "HEAD"):
        found = _npm(host, below) or _pip(below) or _go(below) or _cargo(host, below) or _apt(below)
    else:
        found = _written(below)
    if found is None:
        return 404, b"not found\n", {"Content-Type": "text/plain"}
    body, kind = found
    return 200, body, {"Content-Type": kind}


def _written(path: str) -> tuple[bytes, str] | None:
    """A registry stores what a client publishes; an audit finds nothing."""
    if _AUDIT.fullmatch(path):
        return b"{}", _JSON
    return b'{"ok":true}', _JSON


def _npm(host: str, path: str) -> tuple[bytes, str] | None:
    match = re.fullmatch(r"/npm/(?P<name>(@[a-z]+/)?thing)(?P<file>/-/thing-1\.0\.0\.tgz)?", path)
    if match is None:
        return (b"{}", _JSON) if path.startswith("/npm/-/") else None
    name = match["name"]
    archive = _tar({"package/package.json": json.dumps({"name": name, "version": VERSION}), "package/index.js": ""})
    if match["file"]:
        return archive, "application/octet-stream"
    dist = {
        "tarball": f"https://{host}{PREFIX}/npm/{name}/-/thing-{VERSION}.tgz",
        "integrity": "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode(),
        "shasum": hashlib.sha1(archive, usedforsecurity=False).hexdigest(),
    }
    about = {"name": name, "version": VERSION, "dist": dist}
    return json.dumps({"name": name, "dist-tags": {"latest": VERSION}, "versions": {VERSION: about}}).encode(), _JSON


def _pip(path: str) -> tuple[bytes, str] | None:
    file = f"thing-{VERSION}-py3-none-any.whl"
    if path == "/pip/simple/thing/":
        return f'<!DOCTYPE html><a href="{PREFIX}/pip/files/{file}">{file}</a>'.encode(), "text/html"
    return (releases.wheel("thing", VERSION), "application/octet-stream") if path == f"/pip/files/{file}" else None


def _go(path: str) -> tuple[bytes, str] | None:
    versions = f"/go/{MODULE}/@v"
    files = {
        f"{versions}/list": f"v{VERSION}\n".encode(),
        f"{versions}/v{VERSION}.info": json.dumps({"Version": f"v{VERSION}", "Time": "2026-01-01T00:00:00Z"}).encode(),
        f"{versions}/v{VERSION}.mod": f"module {MODULE}\n".encode(),
        f"{versions}/v{VERSION}.zip": _zip({f"{MODULE}@v{VERSION}/{n}": t for n, t in _GO_FILES.items()}),
    }
    return (files[path], "application/octet-stream") if path in files else None


_GO_FILES = {"go.mod": f"module {MODULE}\n", "thing.go": "package thing\n"}


def _cargo(host: str, path: str) -> tuple[bytes, str] | None:
    manifest = f'[package]\nname = "thing"\nversion = "{VERSION}"\nedition = "2018"\n'
    crate = _tar({f"thing-{VERSION}/Cargo.toml": manifest, f"thing-{VERSION}/src/lib.rs": ""})
    about = {
        "name": "thing", "vers": VERSION, "deps": [], "features": {}, "yanked": False,
        "cksum": hashlib.sha256(crate).hexdigest(),
    }  # fmt: skip
    files = {
        "/cargo/config.json": json.dumps({"dl": f"https://{host}{PREFIX}/cargo/crates"}).encode(),
        "/cargo/th/in/thing": json.dumps(about).encode() + b"\n",
        f"/cargo/crates/thing/{VERSION}/download": crate,
    }
    return (files[path], "application/octet-stream") if path in files else None


def _apt(path: str) -> tuple[bytes, str] | None:
    """An unsigned mirror, which apt takes with `[trusted=yes]`."""
    about = f"Package: thing\nVersion: {VERSION}\nArchitecture: all\nMaintainer: A <a@a.example>\nDescription: a thing\n"
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tar({"./control": about}),
        "data.tar.gz": _tar({"./usr/share/thing/file": "a thing\n"}),
    }
    package = b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        for name, data in members.items()
    )
    file = f"pool/thing_{VERSION}_all.deb"
    digest = hashlib.sha256(package).hexdigest()
    listed = f"{about}Filename: {file}\nSize: {len(package)}\nSHA256: {digest}\n".encode()
    index = "main/binary-all/Packages"
    release = (
        "Suite: stable\nCodename: stable\nArchitectures: all\nComponents: main\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
        f"SHA256:\n {hashlib.sha256(listed).hexdigest()} {len(listed)} {index}\n"
    ).encode()
    files = {f"/apt/{file}": package, "/apt/dists/stable/Release": release, f"/apt/dists/stable/{index}": listed}
    return (files[path], "application/octet-stream") if path in files else None


def _tar(files: Mapping[str, str]) -> bytes:
    return _packed(tuple(files.items()))


@functools.cache
def _packed(files: tuple[tuple[str, str], ...]) -> bytes:
    """A gzipped tar archive, the same each time, because clients compare its hash."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, text in files:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            info.mode = 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(data.getvalue(), mtime=0)


def _zip(files: Mapping[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()
