"""`python -m tests.soak.suspend [RUNS [SEED]]`: kills suspends, saves and resumes at random moments (200 runs: half an hour).

Half of the runs kill a part of `codetainer suspend`; half kill a whole sandbox that resumes from CODETAINER_STATE and keeps its
work there every two seconds. Any damaged archive, and any work lost that was in one, ends the script with an error. At the end
it prints how much work the killed sandboxes had lost: at most the interval, unless the machine is so busy that an archive takes
more than a fifth of it. Needs root.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.netns import kills
from tests.netns.sandbox import eventually, start


def main(arguments: list[str]) -> int:
    runs, seed = (*map(int, arguments), *(200, 1)[len(arguments) :])
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="codetainer-soak-") as name:
        folder = Path(name)
        of_parts = suspends(folder, runs // 2, chance)
        lost = saves(folder, runs - runs // 2, chance)
    print(f"{runs // 2} suspends: {of_parts} parts killed, every file whole")
    worked = sorted(lost)
    print(f"{runs - runs // 2} sandboxes killed, {len(worked)} of them at work: every archive whole")
    if worked:
        print(f"work lost: median {worked[len(worked) // 2]:.1f} s, most {worked[-1]:.1f} s (interval {kills.INTERVAL:g} s)")
        print(f"more than the interval: {sum(one > kills.INTERVAL for one in worked)}")
    return 0


def suspends(folder: Path, runs: int, chance: random.Random) -> int:
    """Kills suspends of one sandbox. Returns how many were killed before they had ended."""
    (folder / "suspends").mkdir()
    sandbox = start(folder / "suspends", f"soak-{os.getpid()}")
    argv, environment = sandbox.called_as_agent("sh", "-c", kills.CLOCK)
    with subprocess.Popen(argv, env=environment, start_new_session=True):
        try:
            eventually("the agent works", lambda: (sandbox.paths.workspace / "clock").exists())
            return sum(bool(kills.suspend_killed(sandbox, folder / "work.tar", chance)) for _ in range(runs))
        finally:
            sandbox.stop()


def saves(folder: Path, runs: int, chance: random.Random) -> list[float]:
    """Kills sandboxes that keep their work in one folder. Returns the seconds of work that each one lost."""
    volume = folder / "volume"
    volume.mkdir(mode=0o700)
    results = [kills.lived(folder, volume, number, chance, longest=8.0) for number in range(runs)]
    return [lost for lost, worked in results if worked]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
