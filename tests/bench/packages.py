"""The packages that the benchmark of installations uses: downloaded once, as a folder for the pretend internet to serve.

The lock files in locked/ pin versions and hashes, and name no registry. The downloads come from the registries that this
machine's clients use, and go to build/packages.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

LOCKED = Path(__file__).with_name("locked")
BUILD = Path(__file__).parents[2] / "build"
NPM_PACKAGES, PYTHON_PACKAGES = 300, 50
DOWNLOAD_SECONDS = 900.0


def served(host: str) -> Path:
    """Returns a folder to serve at https://HOST, with the packages, an index of them, and lock files that name the host.

    npm's registry is at /npm, pip's index at /simple, the files for a project at /project. Raises CalledProcessError if a
    download fails, and ValueError if a package is not the locked one.
    """
    locked = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(LOCKED.iterdir()))).hexdigest()
    wanted = f"{locked} {host} {sys.version}"  # of Python, because wheels depend on it
    folder = BUILD / "packages"
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "project").mkdir(parents=True)
        _npm(folder, host)
        _python(folder)
        stamp.write_text(wanted)
    return folder


def _npm(folder: Path, host: str) -> None:
    """Downloads the tarballs of the lock file, and writes the lock file that npm writes for a registry at `host`."""
    lock = json.loads((LOCKED / "package-lock.json").read_text())
    packages = {path: entry for path, entry in lock["packages"].items() if path and not entry.get("os")}
    if len(packages) != NPM_PACKAGES:
        raise ValueError(f"{len(packages)} packages in package-lock.json, expected {NPM_PACKAGES}")
    names = {path: path.rpartition("node_modules/")[2] for path in packages}
    tarballs = folder / "tarballs"
    tarballs.mkdir()
    wanted = sorted({f"{names[path]}@{entry['version']}" for path, entry in packages.items()})
    _run(["npm", "pack", "--silent", "--ignore-scripts", f"--pack-destination={tarballs}", *wanted], folder)
    for path, entry in packages.items():
        name, version = names[path], entry["version"]
        below = f"npm/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        entry["resolved"] = f"https://{host}/{below}"
        target = folder / below
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            (tarballs / f"{name.lstrip('@').replace('/', '-')}-{version}.tgz").rename(target)
        digest = base64.b64encode(hashlib.sha512(target.read_bytes()).digest()).decode()
        if f"sha512-{digest}" not in entry["integrity"].split():
            raise ValueError(f"{name} {version} is not the locked one")
    shutil.rmtree(tarballs)
    (folder / "project/package-lock.json").write_text(json.dumps(lock, indent=1))
    shutil.copy(LOCKED / "package.json", folder / "project")


def _python(folder: Path) -> None:
    """Downloads the wheels of requirements.txt, and writes an index of them (PEP 503)."""
    requirements = LOCKED / "requirements.txt"
    wheels = folder / "wheels"
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-cache-dir", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "pip", "download", "-q", *options, f"--dest={wheels}", "-r", str(requirements)], folder)
    found = sorted(wheels.iterdir())
    if len(found) != PYTHON_PACKAGES:
        raise ValueError(f"{len(found)} wheels, expected {PYTHON_PACKAGES}")
    for wheel in found:
        page = folder / "simple" / wheel.name.split("-")[0].lower().replace("_", "-").replace(".", "-") / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        page.write_text(f'<!DOCTYPE html><a href="/wheels/{wheel.name}#sha256={digest}">{wheel.name}</a>\n')
    shutil.copy(requirements, folder / "project")


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=DOWNLOAD_SECONDS, check=True
    )
