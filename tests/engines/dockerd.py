"""A real dockerd from Debian's packages in a separate root, connected only to a pretend internet.

The root is created once (build/engines). dockerd runs in its own PID, mount and network namespaces; everything that it starts
ends with it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.sandbox.pretend.network import Pretend
from tests.image import engine
from tests.netns.sandbox import eventually

SUITE = "trixie"
PACKAGES = ("docker.io", "docker-cli", "docker-compose", "iptables", "nftables", "ca-certificates", "procps")
ROOT = engine.ROOT / "build/engines/docker"
SHARED = "/shared"  # the test's folder as dockerd sees it
START = """
set -eu
root=$1 shared=$2 data=$3 resolver=$4
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"; mount --rbind /sys "$root/sys"; mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"; mkdir -p "$root/run/lock" "$root/shared" "$root/old"
mount --bind "$shared" "$root/shared"; mkdir -p "$root/var/lib/docker"; mount --bind "$data" "$root/var/lib/docker"
echo "nameserver $resolver" >"$root/etc/resolv.conf"
cd "$root"
pivot_root . old
umount -l /old
exec dockerd --data-root /var/lib/docker --exec-root /run/docker --storage-driver overlay2
"""


def make_root() -> Path:
    """Installs Debian with Docker's packages, which takes minutes, unless that was done before."""
    stamp = ROOT.with_name("docker.stamp")
    wanted = " ".join((SUITE, *PACKAGES))
    if stamp.exists() and stamp.read_text() == wanted:
        return ROOT
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["debootstrap", "--variant=minbase", SUITE, str(ROOT)], check=True, capture_output=True)
    settings = [Path(shutil.copy(file, ROOT / "etc/apt/apt.conf.d")) for file in engine.APT.glob("99*")]
    install = ["apt-get", "-q", "-y", "install", "--no-install-recommends", *PACKAGES]
    environment = {"PATH": os.environ["PATH"], "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["chroot", str(ROOT), *install], check=True, capture_output=True, env=environment)
    for file in settings:
        file.unlink()
    stamp.write_text(wanted)
    return ROOT


@dataclass(frozen=True, slots=True)
class Docker:
    """A running dockerd. It sees the folder `shared` as /shared. `init` is the pid of its first process on this machine."""

    init: int
    shared: Path
    internet: Pretend

    def run(
        self, *argv: str, environment: Mapping[str, str] | None = None, seconds: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in dockerd's namespaces, in the shared folder."""
        within = ["nsenter", f"--target={self.init}", "--net", "--mount", "--pid", f"--wdns={SHARED}", "--", *argv]
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **(environment or {})}
        return subprocess.run(within, capture_output=True, text=True, timeout=seconds, check=False, env=variables)

    def checked(self, *argv: str, environment: Mapping[str, str] | None = None, seconds: float = 120.0) -> str:
        done = self.run(*argv, environment=environment, seconds=seconds)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout


@contextlib.contextmanager
def running(folder: Path, description: Path) -> Iterator[Docker]:
    """Starts a dockerd whose only network is a pretend internet."""
    root = make_root()
    shared = folder / "shared"
    data = folder / "data"
    shared.mkdir()
    data.mkdir()
    internet = Pretend(description, folder / "seen.jsonl")
    internet.start()
    log = (folder / "dockerd.log").open("w")
    apart = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--"]
    command = [*apart, "sh", "-c", START, "sh", str(root), str(shared), str(data), internet.resolvers[0]]
    outer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        init = eventually("dockerd's first process", lambda: _children(outer.pid))[0]
        docker = Docker(init, shared, internet)
        internet.connect(init)
        eventually("dockerd answers", lambda: _serves(docker, outer, folder))
        yield docker
    finally:
        outer.kill()
        outer.wait()
        log.close()
        internet.end()
        shutil.rmtree(data, ignore_errors=True)


def load(docker: Docker, image: str) -> None:
    """Copies an image from podman to Docker."""
    archive = docker.shared / "image.tar"
    engine.podman("save", "--output", str(archive), image, seconds=600.0)
    docker.checked("docker", "load", "--input", f"{SHARED}/image.tar", seconds=600.0)
    archive.unlink()


def limits() -> str:
    """The value of Compose's `ulimits` for a machine whose root may not raise limits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"{{nofile: {{soft: {min(soft, hard)}, hard: {hard}}}}}"


def _children(pid: int) -> Sequence[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _serves(docker: Docker, outer: subprocess.Popen[bytes], folder: Path) -> bool:
    assert outer.poll() is None, (folder / "dockerd.log").read_text()
    return docker.run("docker", "info").returncode == 0
