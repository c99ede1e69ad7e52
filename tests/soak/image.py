"""`python -m tests.soak.image`: suspends and resumes 300 MB in 40,000 files in the image, beside tar --zstd and a boot.

Builds the image, and runs it with podman, with the least capabilities. Needs root.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backend.contract.events import LockReleased, WorkResumed, WorkSuspended
from tests.bench.suspend import FILES, MB, SEED
from tests.image import container, engine
from tests.image.container import Contained
from tests.image.test_suspend import WELL

PAIRS = 5
TREE = Path(__file__).parents[1] / "bench/inside/tree.py"


def main() -> int:
    engine.image()
    with tempfile.TemporaryDirectory(prefix="codetainer-soak-") as name:
        folder = Path(name)
        volume = folder / "volume"
        volume.mkdir(mode=0o755)
        first = begin(folder, volume, 1)
        plain, own = list[float](), list[float]()
        try:
            made = first.agent("/usr/bin/python3", "-I", "-c", TREE.read_text(), str(FILES), str(MB), str(SEED), seconds=300)
            assert made.returncode == 0, made.stderr
            for _ in range(PAIRS):
                plain.append(seconds_of("tar", "--create", "--zstd", f"--file={folder}/plain", "-C", str(first.paths.root),
                                        "workspace", "home/claude", "tmp"))  # fmt: skip
                own.append(seconds_of(*engine.PODMAN, "exec", first.name, "codetainer", "suspend", "/volume/mine.tar"))
            inside = [one.seconds for one in first.events(WorkSuspended) if one.size]
            starting = [seconds_of(*engine.PODMAN, "exec", first.name, "codetainer", "--version") for _ in range(PAIRS)]
            booted = boot_seconds(first)
        finally:
            first.stop()
        second = begin(folder, volume, 2)
        try:
            assert second.events(WorkResumed)[0].entries >= FILES
            resumed = boot_seconds(second)
        finally:
            second.stop()
    tar, suspend = statistics.median(plain), statistics.median(own)
    print(f"tar --zstd {tar:.2f} s, suspend {suspend:.2f} s: {suspend / tar:.2f} times (medians of {PAIRS})")
    print(f"of that {statistics.median(inside):.2f} s in the supervisor")
    print(f"podman exec of codetainer alone: {statistics.median(starting):.2f} s")
    print(f"boot {booted:.2f} s, with a resume {resumed:.2f} s: {resumed - booted:.2f} s more")
    return 0 if suspend <= 1.5 * tar and resumed <= booted + 2 else 1


def begin(folder: Path, volume: Path, number: int) -> Contained:
    place = folder / str(number)
    place.mkdir()
    return container.start(
        place, f"soak-image-{os.getpid()}-{number}", listed=WELL, engine_options=(*engine.LEAST, f"--volume={volume}:/volume"),
        CODETAINER_STATE="/volume", CODETAINER_GRACE="60s", CODETAINER_TMPFS_WORKSPACE="1G",
    )  # fmt: skip


def seconds_of(*command: str) -> float:
    begun = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begun


def boot_seconds(sandbox: Contained) -> float:
    """Seconds from the start of the container until the agent works."""
    return next(one.at for one in sandbox.stamped() if isinstance(one.event, LockReleased)) - sandbox.started_at


if __name__ == "__main__":
    sys.exit(main())
