"""Release downloads of the pretend git host: the redirects and files that a client meets at github.com.

A download is redirected twice: from `latest` to the release, at the same host, and from there to a host that only serves
files. Every file name can be downloaded.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile

ASSETS_HOST = "release-assets.githubusercontent.com"
LATEST = "v1.0"
_DOWNLOAD = re.compile(r"/(?P<repository>[^/]+/[^/]+)/releases/(?P<release>latest/download|download/[^/]+)/(?P<file>[^/]+)\Z")
_ASSET = re.compile(r"/github-production-release-asset/(?P<file>[^/]+)\Z")
_WHEEL = re.compile(r"(?P<name>\w+)-(?P<version>[0-9.]+)-py3-none-any\.whl\Z")


def location(host: str, repository: str, path: str) -> str:
    """Where a download is redirected to, "" where the path is no download of this repository (`owner/repo`)."""
    found = _DOWNLOAD.match(path)
    if found is None or found["repository"].lower() != repository.lower():
        return ""
    if found["release"] == "latest/download":
        return f"https://{host}/{repository}/releases/download/{LATEST}/{found['file']}"
    return f"https://{ASSETS_HOST}/github-production-release-asset/{found['file']}?sig=pretend"


def asset(path: str) -> bytes | None:
    """The file at this path of ASSETS_HOST; for a wheel's name one that pip accepts. None: there is none."""
    found = _ASSET.match(path)
    if found is None:
        return None
    named = _WHEEL.match(found["file"])
    return wheel(named["name"], named["version"]) if named else f"the file {found['file']}\n".encode()


def wheel(name: str, version: str) -> bytes:
    """A package with nothing in it (https://packaging.python.org/en/latest/specifications/binary-distribution-format/)."""
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: pretend\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_hash(text)},{len(text)}\n" for path, text in files.items())
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return made.getvalue()


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
