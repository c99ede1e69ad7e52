"""Builds and runs the image without Docker Hub, systemd or Docker: with debootstrap, buildah, podman and runc.

A base made from Debian's archive replaces the official one. Packages are downloaded with this machine's client settings, which
are mounted into the build and never become part of the image. Layers are cached between runs.
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
# Client settings of this machine: the package registries and proxies to use, and the CAs to trust.
SETTINGS = ("/etc/ssl/certs", "/usr/local/share/ca-certificates", "/etc/pip.conf")
APT, OWN = Path("/etc/apt/apt.conf.d"), (".npmrc", ".config/go/env")
# cgroupfs: podman creates cgroups itself, without systemd.
PODMAN = ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs")
# The capabilities that boot needs, and no others.
LEAST = ("--cap-drop", "ALL", *(word for needed in NEEDED for word in ("--cap-add", needed.name)))


def problem() -> str:
    """Returns why an image cannot be built on this machine; "" if it can."""
    if os.geteuid() != 0:
        return "not root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{', '.join(missing)} not found: run `.ci/setup image`" if missing else ""


def podman(*argv: str, check: bool = True, seconds: float = 120.0) -> str:
    """Runs podman and returns its output. Raises RuntimeError if it fails and `check` is set."""
    done = subprocess.run([*PODMAN, *argv], capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"podman {' '.join(argv)}: {done.stderr[-2000:]}")
    return done.stdout


def image(run: str = "") -> str:
    """Builds the layers that have changed and returns the image's tag. The first build takes minutes, later ones seconds.

    A lock lets one process build at a time. `run` identifies a test run, in which only the first caller builds.
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
    """Runs `buildah build`, in Docker's format because OCI's has no HEALTHCHECK."""
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
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", SUITE, str(root)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"cannot make a Debian base:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        for archive in (root / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        for file in (root / "var/lib/apt/lists").glob("*_*"):
            file.unlink()
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            command = [*PODMAN, "import", "--change", 'CMD ["bash"]', "-", BASE]
            subprocess.run(command, stdin=tar.stdout, check=True, capture_output=True)


def _settings(aside: Path) -> Iterator[str]:
    """Yields options that mount copies of this machine's client settings. Copies, because update-ca-certificates writes."""
    paths = [Path(path) for path in SETTINGS] + sorted(APT.glob("99*")) + [Path.home() / name for name in OWN]
    for path in paths:
        if not path.exists():
            continue
        copy = aside / path.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            # Follow links, because their targets do not exist in the build. Some links dangle.
            shutil.copytree(path, copy, ignore_dangling_symlinks=True)
        else:
            shutil.copyfile(path, copy)
        if path.name == ".npmrc":
            copy.write_text(f"{copy.read_text()}\ncafile=/etc/ssl/certs/ca-certificates.crt\n")
        # Files of this user's home belong in root's home in the build.
        inside = Path("/root") / path.relative_to(Path.home()) if path.is_relative_to(Path.home()) else path
        yield f"--volume={copy}:{inside}"


def limits() -> list[str]:
    """Resource limits for podman, which would otherwise raise them; root may lack the capability for that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ["--ulimit", f"nofile={soft}:{hard}", "--ulimit", "nproc=8192:8192"]


@contextlib.contextmanager
def mounted(tag: str) -> Iterator[Path]:
    """Mounts the image's files for inspection."""
    folder = Path(podman("image", "mount", tag).strip())
    try:
        yield folder
    finally:
        podman("image", "unmount", tag)


def run(network: str, volumes: Sequence[tuple[Path, str]], *options: str) -> list[str]:
    """The command line that runs the image in the foreground, in the network namespace at the path `network`."""
    mounts = (f"--volume={source}:{target}:ro" for source, target in volumes)
    return [*PODMAN, "run", "--rm", "--pull=never", "--network", f"ns:{network}", *limits(), *mounts, *options, IMAGE]


if __name__ == "__main__":
    image(*sys.argv[1:])
