"""`python -m tests.soak.image`: suspends and resumes 300 MB in 40,000 files in the image, beside tar --zstd and boots.

Builds the image, and runs it with podman, with the least capabilities. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from backend.contract.events import LockReleased, WorkResumed, WorkSuspended
from tests.bench.suspend import FILES, MB, SEED, added_memory
from tests.image import container, engine
from tests.image.container import Contained
from tests.image.test_suspend import WELL
from tests.netns.sandbox import backend_of

PAIRS, BOOTS = 5, 3
TREE = Path(__file__).parents[1] / "bench/inside/tree.py"


def main() -> int:
    engine.image()
    with tempfile.TemporaryDirectory(prefix="codetainer-soak-") as name:
        folder = Path(name)
        plain, own = list[float](), list[float]()
        first = begin(folder, "kept")
        try:
            made = first.agent("/usr/bin/python3", "-I", "-c", TREE.read_text(), str(FILES), str(MB), str(SEED), seconds=300)
            assert made.returncode == 0, made.stderr
            for _ in range(PAIRS):
                plain.append(seconds_of("tar", "--create", "--zstd", f"--file={folder}/plain", "-C", str(first.paths.root),
                                        "workspace", "home/claude", "tmp"))  # fmt: skip
                own.append(seconds_of(*engine.PODMAN, "exec", first.name, "codetainer", "suspend", "/volume/mine.tar"))
            memory = memory_of(first)
            inside = [one.seconds for one in first.events(WorkSuspended) if one.size]
        finally:
            first.stop()
        booted, resumed = list[float](), list[float]()
        for number in range(BOOTS):
            booted.append(boot_seconds(folder, f"empty{number}", 0))
            resumed.append(boot_seconds(folder, "kept", FILES))
    tar, suspend = statistics.median(plain), statistics.median(own)
    more = statistics.median(resumed) - statistics.median(booted)
    print(f"tar --zstd {tar:.2f} s, suspend {suspend:.2f} s: {suspend / tar:.2f} times (medians of {PAIRS})")
    print(f"of that {statistics.median(inside):.2f} s in the supervisor")
    print(f"memory added, with the client in the container: {memory:.0f} MB")
    print(f"with a resume, boot takes {more:.2f} s more (medians of {BOOTS}; {booted}, {resumed})")
    return 0 if suspend <= 1.5 * tar and more <= 2 and memory < 60 else 1


def begin(folder: Path, volume: str) -> Contained:
    """Starts a container with a volume that may have an archive."""
    (folder / volume).mkdir(mode=0o755, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=folder))
    return container.start(
        place, f"soak-image-{os.getpid()}-{place.name}", listed=WELL,
        engine_options=(*engine.LEAST, f"--volume={folder / volume}:/volume"), CODETAINER_STATE="/volume",
        CODETAINER_GRACE="60s", CODETAINER_TMPFS_WORKSPACE="1G",
    )  # fmt: skip


def seconds_of(*command: str) -> float:
    begun = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begun


def memory_of(sandbox: Contained) -> float:
    """The memory in MB that suspending adds. The client is a process of the container, but no child of its first process."""
    namespace = Path(f"/proc/{sandbox.init}/ns/pid").readlink()

    def processes() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{process.pid}/ns/pid").readlink() == namespace:
                    found.append(process)
        return found

    command = (*engine.PODMAN, "exec", sandbox.name, "codetainer", "suspend", "/volume/mine.tar")
    return added_memory(
        psutil.Process(backend_of(sandbox)), processes, lambda: subprocess.Popen(command, stderr=subprocess.DEVNULL)
    )


def boot_seconds(folder: Path, volume: str, files: int) -> float:
    """Seconds from the start of a container until the agent works, with at least so many resumed files."""
    sandbox = begin(folder, volume)
    try:
        assert sum(one.entries for one in sandbox.events(WorkResumed)) >= files
        return next(one.at for one in sandbox.stamped() if isinstance(one.event, LockReleased)) - sandbox.started_at
    finally:
        sandbox.stop()


if __name__ == "__main__":
    sys.exit(main())
