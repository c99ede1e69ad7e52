"""Kills (SIGKILL) what takes part in suspending and resuming, at random moments, and checks that no work is lost.

tests/netns/test_suspend_kills.py does a few of these runs, tests/soak/suspend.py many.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import psutil

from backend.suspension import archive
from tests.netns.sandbox import CODETAINER, Running, eventually, start
from tests.netns.suspensions import REPOSITORY

CLOCK = "while :; do date +%s.%N > /workspace/new; mv /workspace/new /workspace/clock; sleep 0.02; done"
INTERVAL = 2.0
PARTS = ("backend suspend", "suspension names", "tar --create", "zstd --quiet")


def clock(file: Path) -> float:
    """Returns when the agent last wrote to the clock, according to an archive. Raises Unreadable if that is damaged."""
    with archive.opened(file) as opened:
        data = b"".join(map(opened.read, opened.pieces))
    plain = subprocess.run(["zstd", "-q", "-d", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain), encoding="utf-8", errors="surrogateescape") as members:
        try:
            member = members.extractfile("workspace/clock")
        except KeyError:
            return 0.0
        return float(member.read()) if member is not None else 0.0


def parts(sandbox: Running) -> list[psutil.Process]:
    """Returns the processes that take part in suspending."""
    found = []
    for process in sandbox.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(part in " ".join(process.cmdline()) for part in PARTS):
                found.append(process)
    return found


def suspend_killed(sandbox: Running, file: Path, chance: random.Random, longest: float = 1.0) -> str:
    """Suspends to a file, and kills the client or one of the parts meanwhile. Returns what was killed, "" if it was too late.

    Checks that the file is complete if it is there, no older than before, and that the agent goes on.
    """
    before = clock(file) if file.exists() else 0.0
    client = subprocess.Popen(
        [*CODETAINER, "suspend", "--name", sandbox.name, str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(chance.uniform(0, longest))
    killed = ""
    victims = [] if chance.random() < 0.3 else parts(sandbox)
    with contextlib.suppress(psutil.NoSuchProcess):
        victim = chance.choice(victims) if victims else psutil.Process(client.pid)
        killed = " ".join(victim.cmdline())
        victim.kill()
    client.wait(timeout=120)
    if file.exists():
        assert clock(file) >= before
    goes_on(sandbox)
    return killed


def goes_on(sandbox: Running) -> None:
    """Waits until the agent has written to its clock again."""
    now = time.time()

    def written() -> bool:
        text = (sandbox.paths.workspace / "clock").read_text().strip()
        return bool(text) and float(text) > now

    eventually("the agent continues", written)


def lived(folder: Path, volume: Path, number: int, chance: random.Random, longest: float = 4.0) -> tuple[float, float]:
    """Starts a sandbox with CODETAINER_STATE, which resumes the work in the folder, and kills all of it at a random moment.

    Checks that the newest archive in the folder is complete afterwards, and no older than before. Returns the seconds of work
    that were lost, and how long the agent had worked.
    """
    before = newest(volume)
    place = folder / str(number)
    place.mkdir()
    sandbox = start(
        place, f"killed-{os.getpid()}-{number}", until_released=False, REPO_URL=REPOSITORY, CODETAINER_STATE=str(volume),
        CODETAINER_STATE_INTERVAL=f"{INTERVAL:g}s",
    )  # fmt: skip
    end = time.monotonic() + chance.uniform(0.0, longest)
    began = 0.0
    worker: subprocess.Popen[str] | None = None
    while time.monotonic() < end:
        if worker is None and sandbox.paths.journal.exists() and sandbox.state.session_created:
            argv, environment = sandbox.called_as_agent("sh", "-c", CLOCK)
            worker, began = subprocess.Popen(argv, env=environment, text=True, start_new_session=True), time.time()
        time.sleep(0.01)
    os.kill(sandbox.process.pid, signal.SIGKILL)
    killed = time.time()
    sandbox.process.wait()
    eventually("nothing is left of it", lambda: not Path(f"/proc/{sandbox.init}").exists())
    if worker is not None:
        worker.wait()
    after = newest(volume)
    assert after >= before
    return (killed - max(after, began), killed - began) if began else (0.0, 0.0)


def newest(volume: Path) -> float:
    """Returns the clock of the newest archive; fails if it is damaged, because a kill must not do that."""
    files = sorted(volume.glob("work-*.tar"), reverse=True)
    assert not list(volume.glob("*.broken"))
    return clock(files[0]) if files else 0.0
