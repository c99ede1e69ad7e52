"""Suspending and resuming 300 MB in 40,000 files, beside tar --zstd on the same files in the same run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from backend.contract.events import LockReleased
from backend.sandbox import registry
from tests.bench.rows import Row, measures
from tests.bench.sandbox import Sandbox, running

FILES, MB, SEED = 40_000, 300, 7
ROOM = {"CODETAINER_TMPFS_WORKSPACE": "1G"}
TIMES = 5


@measures("suspend_beside_tar", "suspend_memory", "resume_after_boot")
def suspend() -> Iterator[Row]:
    """The times are medians of alternating runs. Memory is measured in a run of its own, because looking at it takes time.

    It is the largest sum of what suspending adds to root's and the agent's processes.
    """
    with tempfile.TemporaryDirectory(prefix="codetainer-bench-suspend-") as folder:
        file = Path(folder) / "work.tar"
        with running(**ROOM) as sandbox:
            sandbox.run("tree", FILES, MB, SEED, seconds=300)
            plain, own = list[float](), list[float]()
            for _ in range(TIMES):
                plain.append(_tar(sandbox, Path(folder) / "plain.tar.zst"))
                own.append(_suspended(sandbox, file))
            peak = _memory(sandbox, file)
            boot = _boot(sandbox)
        with running("--resume", str(file), **ROOM) as resumed:
            again = _boot(resumed)
            assert resumed.run("count_files", "/workspace") >= FILES
    median = sorted(own)[TIMES // 2]
    beside = sorted(plain)[TIMES // 2]
    yield Row("suspend_beside_tar", median, "s", most=1.5 * beside, yardstick="tar --zstd", beside=beside)
    yield Row("suspend_memory", peak, "MB", most=60)
    yield Row("resume_after_boot", again, "s", most=boot + 2, yardstick="boot", beside=boot)


def _boot(sandbox: Sandbox) -> float:
    """Seconds from the start of `up` until the agent works."""
    return sandbox.first(LockReleased).at - sandbox.started_at


def _tar(sandbox: Sandbox, file: Path) -> float:
    """Seconds that tar --zstd takes for the same files."""
    begun = time.monotonic()
    folders = ["workspace", "home/claude", "tmp"]
    subprocess.run(["tar", "--create", "--zstd", f"--file={file}", f"--directory={sandbox.paths.root}", *folders], check=True)
    return time.monotonic() - begun


def _suspending(sandbox: Sandbox, file: Path) -> subprocess.Popen[bytes]:
    name = next(name for name in registry.running() if registry.find(name) == sandbox.init)
    command = [sys.executable, "-I", "-m", "backend", "suspend", "--name", name, str(file)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def _suspended(sandbox: Sandbox, file: Path) -> float:
    """Seconds that suspending to a file takes."""
    begun = time.monotonic()
    assert _suspending(sandbox, file).wait() == 0
    return time.monotonic() - begun


def _memory(sandbox: Sandbox, file: Path) -> float:
    """The memory in MB that suspending adds."""
    return added_memory(sandbox.service("boot"), sandbox.processes, lambda: _suspending(sandbox, file))


def added_memory(
    supervisor: psutil.Process, processes: Callable[[], list[psutil.Process]], begin: Callable[[], subprocess.Popen[bytes]]
) -> float:
    """The most memory in MB that a program adds to a sandbox while it runs: to the supervisor, and as new processes."""
    before, known = supervisor.memory_info().rss, {process.pid for process in processes()}
    running, peak = begin(), 0
    while running.poll() is None:
        now = supervisor.memory_info().rss - before
        for other in processes():
            if other.pid not in known:
                try:
                    now += other.memory_full_info().uss
                except psutil.Error:
                    continue
        peak = max(peak, now)
        time.sleep(0.1)
    assert running.returncode == 0
    return peak / (1 << 20)
