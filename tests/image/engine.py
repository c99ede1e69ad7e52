"""The image built and run on a machine that need not have Docker Hub, systemd or Docker: debootstrap, buildah, podman and runc.

The base is made from Debian's archive and passes as the official one. Packages come as this machine's clients are set up: their
settings are laid over the build's, and never become part of the image. Layers are kept between runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.capabilities import NEEDED

ROOT = Path(__file__).parents[2]
SUITE = "trixie"
BASE = f"localhost/codetainer-base:{SUITE}"
IMAGE = f"localhost/codetainer:test-{hashlib.sha256(bytes(ROOT)).hexdigest()[:8]}"  # each clone tests its own
TOOLS = ("buildah", "debootstrap", "podman", "runc")
# Where a machine says how its clients reach their registries, and whom they trust.
SETTINGS = ("/etc/ssl/certs", "/usr/local/share/ca-certificates", "/etc/pip.conf")
APT, OWN = Path("/etc/apt/apt.conf.d"), (".npmrc", ".config/go/env")
# runc, and cgroups made by hand: there need not be a systemd.
PODMAN = ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs")
# What boot needs, and nothing beside it.
LEAST = ("--cap-drop", "ALL", *(word for needed in NEEDED for word in ("--cap-add", needed.name)))


def lacking() -> str:
    """Why an image cannot be built here, "" where it can."""
    if os.geteuid() != 0:
        return "not root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{', '.join(missing)}: .ci/setup image installs what is missing" if missing else ""


def podman(*argv: str, check: bool = True, seconds: float = 120.0) -> str:
    """Runs podman to its end; returns what it printed."""
    done = subprocess.run([*PODMAN, *argv], capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"podman {' '.join(argv)}: {done.stderr[-2000:]}")
    return done.stdout


def image(run: str = "") -> str:
    """Builds what has changed since the last time; returns the image's tag. Minutes at first, seconds afterwards.

    One process builds at a time. `run` names a run of the tests, within which the image is looked at once.
    """
    built = ROOT / "build/image.run"
    built.parent.mkdir(exist_ok=True)
    with (ROOT / "build/image.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not run or not built.exists() or built.read_text() != run:
            _base()
            build("--tag", IMAGE)
            built.write_text(run)
    return IMAGE


def build(*options: str) -> None:
    """buildah build, in Docker's format: that of OCI has no HEALTHCHECK."""
    with tempfile.TemporaryDirectory() as aside:
        command = ["buildah", "build", "--isolation", "chroot", "--pull=never", "--format", "docker", "--layers", "--jobs", "2",
                   "--build-arg", f"DEBIAN={BASE}", *_settings(Path(aside)), *options, str(ROOT)]  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"cannot build the image:\n{done.stdout[-6000:]}")


def _base() -> None:
    if subprocess.run([*PODMAN, "image", "exists", BASE], check=False).returncode == 0:
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", SUITE, str(root)], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise RuntimeError(f"cannot make a Debian base:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
        for archive in (root / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        for file in (root / "var/lib/apt/lists").glob("*_*"):
            file.unlink()
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            command = [*PODMAN, "import", "--change", 'CMD ["bash"]', "-", BASE]
            subprocess.run(command, stdin=tar.stdout, check=True, capture_output=True)


def _settings(aside: Path) -> Iterator[str]:
    """This machine's client settings as volumes of the build: copies, since update-ca-certificates writes."""
    found = [Path(path) for path in SETTINGS] + sorted(APT.glob("99*")) + [Path.home() / name for name in OWN]
    for path in found:
        if not path.exists():
            continue
        copy = aside / path.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            # Links are followed: what they lead to is not there in a build. Some lead nowhere.
            shutil.copytree(path, copy, ignore_dangling_symlinks=True)
        else:
            shutil.copyfile(path, copy)
        if path.name == ".npmrc":
            copy.write_text(f"{copy.read_text()}\ncafile=/etc/ssl/certs/ca-certificates.crt\n")
        # What is in a home is root's in there, wherever it is here.
        inside = Path("/root") / path.relative_to(Path.home()) if path.is_relative_to(Path.home()) else path
        yield f"--volume={copy}:{inside}"


def limits() -> list[str]:
    """podman would raise them, which takes a right that root need not have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ["--ulimit", f"nofile={soft}:{hard}", "--ulimit", "nproc=8192:8192"]


@contextlib.contextmanager
def mounted(tag: str) -> Iterator[Path]:
    """The image's files, to look at."""
    folder = Path(podman("image", "mount", tag).strip())
    try:
        yield folder
    finally:
        podman("image", "unmount", tag)


def run(network: str, volumes: Sequence[tuple[Path, str]], *options: str) -> list[str]:
    """The command line that runs the image with what it needs and no more, in the foreground, in a network namespace."""
    mounts = (f"--volume={source}:{target}:ro" for source, target in volumes)
    return [*PODMAN, "run", "--rm", "--pull=never", "--network", f"ns:{network}", *limits(), *mounts, *options, IMAGE]


if __name__ == "__main__":
    image(*sys.argv[1:])
