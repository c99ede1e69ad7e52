"""Runs the soak and prints its figures as Markdown: `python -m tests.soak [--minutes N] [--pace N]` (root).

Each "minute" of the soak has one fault. At pace 8, eight hours take one. It fails if the sandbox does not recover from a fault,
if a commit is lost, or if memory, descriptors, threads or the journal grow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from backend.contract.events import ServiceState
from backend.contract.paths import AGENT_UID
from backend.system import AGENT
from tests.netns.sandbox import Running, start
from tests.netns.suspensions import REPOSITORY
from tests.netns.test_cases import connect
from tests.soak.faults import FAULTS

RECOVERY_SECONDS = 90.0
STATE_SECONDS = 120  # CODETAINER_STATE_INTERVAL
STALE_SECONDS = 2 * STATE_SECONDS + 30.0  # one save may fail, for example while a file system is full
WARM_UP = 0.1  # of the samples are left out: caches fill
# The agent's work: a commit every two seconds, whose id it prints. `git gc` keeps the repository small.
WORK = """
cd /workspace/repo
while :; do
  date +%s.%N > state-$((RANDOM % 50)).txt 2>/dev/null &&
    git add -A 2>/dev/null && git commit -q -m work 2>/dev/null && git rev-parse HEAD
  rm -f .git/index.lock
  sleep 2
done
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the sandbox's own processes use: memory that no other process shares (USS) in MB, descriptors, threads.

    `folder` is the size of the journal's folder in MB. Memory that is shared would count less when another sandbox runs, too.
    """

    memory: float
    descriptors: int
    threads: int
    folder: float
    by_process: Mapping[str, float] = field(default_factory=dict)  # memory by the process's last argument, or its name


@dataclass(slots=True)
class Soak:
    sandbox: Running
    folder: Path
    began: float = field(default_factory=time.time)
    samples: list[Sample] = field(default_factory=list)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    oldest: float = 0.0  # seconds since the work was kept last, at most

    @property
    def commits(self) -> list[str]:
        return self.folder.joinpath("commits").read_text().split()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """The agent works. It survives everything but an emergency that ends all of the agent's processes."""
        command, environment = self.sandbox.called(AGENT, "bash", "-c", WORK)
        with self.folder.joinpath("commits").open("a") as commits:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=commits, stderr=subprocess.DEVNULL, env=environment,
                start_new_session=True,
            )  # fmt: skip
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()

    def tick(self, name: str) -> None:
        """Causes one fault, waits for the recovery, and takes a sample."""
        try:
            FAULTS[name](self.sandbox)
        except Exception as error:
            self.problems.append(f"{name}: the fault itself failed: {error}")
        began = time.monotonic()
        while problem := self._problem():
            if time.monotonic() - began > RECOVERY_SECONDS:
                self.problems.append(f"{name}: no recovery: {problem}")
                break
            time.sleep(0.5)
        self.recoveries.setdefault(name, []).append(time.monotonic() - began)
        self.samples.append(self._sample())
        self._look_at_the_kept_work(name)

    def _look_at_the_kept_work(self, name: str) -> None:
        files = [file.stat().st_mtime for file in (self.folder / "volume").glob("work-*.tar")]
        age = time.time() - max([self.began, *files])
        self.oldest = max(self.oldest, age)
        if age > STALE_SECONDS:
            self.problems.append(f"{name}: the work was kept last {age:.0f} s ago")

    def verified(self) -> str:
        """Returns what `codetainer verify` says about the journal and the traffic log, "" if both are whole."""
        done = self.sandbox.codetainer("verify")
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _problem(self) -> str:
        """Returns why the sandbox is not well, "" if it is."""
        state = self.sandbox.state
        down = [
            name for name, service in state.services.items() if service.state not in (ServiceState.UP, ServiceState.STOPPED)
        ]
        if not state.is_open or state.frozen:
            return f"not open: {state.protection_failed or 'frozen'}"
        if down:
            return f"down: {', '.join(down)}"
        try:
            if (allowed := connect(self.sandbox, "github.com")) != "open":
                return f"github.com: {allowed}"
            if (refused := connect(self.sandbox, "192.0.2.66")) != "refused":
                self.problems.append(f"OPEN: 192.0.2.66 was {refused}")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return f"cannot try: {error}"
        return ""

    def _sample(self) -> Sample:
        memory, descriptors, threads = dict[str, float](), 0, 0
        for process in [psutil.Process(self.sandbox.process.pid), *psutil.Process(self.sandbox.process.pid).children(True)]:
            with contextlib.suppress(psutil.Error):
                if process.uids().real != AGENT_UID and process.name() not in ("nsenter", "sh", "bash"):
                    name = " ".join((process.name(), *process.cmdline()[4:5]))
                    memory[name] = memory.get(name, 0.0) + process.memory_full_info().uss / (1 << 20)
                    descriptors += process.num_fds()
                    threads += process.num_threads()
        folder = self.sandbox.paths.journal.parent
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / (1 << 20)
        return Sample(sum(memory.values()), descriptors, threads, size, memory)

    def lost(self) -> list[str]:
        """Returns the commits that an export of the work does not contain."""
        clone = self.folder / "clone"
        bundle = self.folder / "work.bundle"
        with bundle.open("wb") as file:
            command, environment = self.sandbox.called(
                AGENT, "git", "-C", "/workspace/repo", "bundle", "create", "-q", "-", "--all"
            )
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, env=environment, check=True)
        subprocess.run(["git", "clone", "-q", "--bare", str(bundle), str(clone)], check=True)
        have = subprocess.run(["git", "-C", str(clone), "rev-list", "--all"], capture_output=True, text=True, check=True)
        return sorted(set(self.commits) - set(have.stdout.split()))


def memory_of(samples: list[Sample]) -> dict[str, tuple[float, float]]:
    """Returns for each process the median memory of the first and of the last quarter, the one that has grown most first."""
    quarter = max(1, len(samples) // 4)
    names = {name for sample in samples for name in sample.by_process}
    medians = {
        name: tuple(
            statistics.median(one.by_process.get(name, 0.0) for one in part) for part in (samples[:quarter], samples[-quarter:])
        )
        for name in names
    }
    return {name: (first, last) for name, (first, last) in sorted(medians.items(), key=lambda one: one[1][0] - one[1][1])}


def growth(samples: list[Sample]) -> dict[str, tuple[float, float, bool]]:
    """Returns for each figure the median of the first and of the last quarter, and whether it is level."""
    settled = samples[int(len(samples) * WARM_UP) :]
    quarter = max(1, len(settled) // 4)
    allowed: Mapping[str, float] = {"memory": 3.0, "descriptors": 6, "threads": 3, "folder": 12.0}
    result = {}
    for name, more in allowed.items():
        first, last = (
            statistics.median(getattr(one, name) for one in part) for part in (settled[:quarter], settled[-quarter:])
        )
        result[name] = (first, last, last <= first * 1.03 + more)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=int, default=60, help="minutes of the soak, with one fault each")
    parser.add_argument("--pace", type=float, default=1.0, help="how many of them pass in one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prog := "codetainer-soak-") as place:
        folder = Path(place)
        volume = folder / "volume"
        volume.mkdir(mode=0o700)
        sandbox = start(
            folder, f"soak-{os.getpid()}", REPO_URL=REPOSITORY, CODETAINER_AUTOSAVE="5m", CODETAINER_PROOF="5m",
            CODETAINER_STATE=str(volume), CODETAINER_STATE_INTERVAL=f"{STATE_SECONDS}s",
        )  # fmt: skip
        soak = Soak(sandbox, folder)
        names = list(FAULTS)
        began = time.monotonic()
        try:
            with soak.working(), contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends the soak early, with its figures
                for minute in range(options.minutes):
                    until = began + (minute + 1) * 60 / options.pace
                    soak.tick(names[minute % len(names)])
                    sys.stderr.write(f"{prog}{minute}: {names[minute % len(names)]}: {soak.samples[-1]}\n")
                    time.sleep(max(0.0, until - time.monotonic()))
            lost = soak.lost()
            if problem := soak.verified():
                soak.problems.append(f"codetainer verify: {problem}")
        finally:
            sandbox.stop()
        return _print(soak, lost, time.monotonic() - began, options.pace)


def _print(soak: Soak, lost: list[str], seconds: float, pace: float) -> int:
    figures = growth(soak.samples)
    minutes, commits = seconds / 60, len(soak.commits)
    lines = [
        f"{len(soak.samples)} faults in {minutes:.0f} minutes (pace {pace:g}), {commits} commits, {len(lost)} lost.",
        f"Work kept: every {STATE_SECONDS} s; at most {soak.oldest:.0f} s ago.",
        "",
        "| Figure | First quarter | Last quarter | Level |",
        "| --- | --- | --- | --- |",
    ]
    for name, (first, last, level) in figures.items():
        lines.append(f"| {name} | {first:.1f} | {last:.1f} | {'yes' if level else '**no**'} |")
    lines += ["", "| Memory of | First quarter | Last quarter |", "| --- | --- | --- |"]
    lines += [f"| {name} | {first:.1f} | {last:.1f} |" for name, (first, last) in memory_of(soak.samples).items()]
    lines += ["", "| Fault | Times | Recovery, median | Recovery, longest |", "| --- | --- | --- | --- |"]
    for name, times in soak.recoveries.items():
        lines.append(f"| {name} | {len(times)} | {statistics.median(times):.1f} s | {max(times):.1f} s |")
    lines += ["", *(f"- {problem}" for problem in soak.problems)] if soak.problems else []
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if lost or soak.problems or not all(level for _, _, level in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
