"""Release downloads from the pretend git host, with the same redirects as at github.com.

A download is redirected twice: from `latest` to the release on the same host, then to a host that only serves files. Files of
any name can be downloaded.
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
    """The redirect target of a download, "" if the path is not a download from this repository (`owner/repo`)."""
    match = _DOWNLOAD.match(path)
    if match is None or match["repository"].lower() != repository.lower():
        return ""
    if match["release"] == "latest/download":
        return f"https://{host}/{repository}/releases/download/{LATEST}/{match['file']}"
    return f"https://{ASSETS_HOST}/github-production-release-asset/{match['file']}?sig=pretend"


def asset(path: str) -> bytes | None:
    """The file at a path of ASSETS_HOST, None if the path is unknown. A file with a wheel's name can be installed with pip."""
    match = _ASSET.match(path)
    if match is None:
        return None
    package = _WHEEL.match(match["file"])
    return wheel(package["name"], package["version"]) if package else f"the file {match['file']}\n".encode()


def wheel(name: str, version: str) -> bytes:
    """Builds an empty package (https://packaging.python.org/en/latest/specifications/binary-distribution-format/)."""
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: pretend\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_hash(text)},{len(text)}\n" for path, text in files.items())
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return data.getvalue()


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
