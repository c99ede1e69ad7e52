"""A sandbox to measure: `codetainer up --net pretend`, which runs until the measurement is done."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from backend.contract.events import Event, Stamped, decode
from backend.contract.paths import AGENT_UID, Paths
from backend.sandbox import registry

START_SECONDS = 120.0
INSIDE = Path(__file__).with_name("inside")


def resident(process: psutil.Process) -> float:
    """Returns a process's resident memory (VmRSS) in MB."""
    return float(process.memory_info().rss / (1 << 20))


def command(process: psutil.Process) -> list[str]:
    """Returns a process's argument list; an empty one if it has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def cpu(process: psutil.Process) -> float:
    """Returns a process's CPU time in seconds, without its children's."""
    times = process.cpu_times()
    return float(times.user + times.system)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox. `started_at`: when `up` was started, seconds since the epoch.

    `up` and `init` are pids in this machine's namespace; `init` is the sandbox's first process.
    """

    started_at: float
    up: int
    init: int
    log: Path  # what `up` and boot wrote to stderr

    @property
    def paths(self) -> Paths:
        return Paths(Path(f"/proc/{self.init}/root"))

    def events(self) -> list[Stamped]:
        return [decode(line) for line in self.paths.journal.read_text().splitlines()]

    def first(self, kind: type[Event]) -> Stamped:
        return next(stamped for stamped in self.events() if isinstance(stamped.event, kind))

    def processes(self) -> list[psutil.Process]:
        """Returns `up` and its descendants."""
        up = psutil.Process(self.up)
        return [up, *up.children(recursive=True)]

    def service(self, verb: str) -> psutil.Process:
        """Returns the process that runs `python3 -I -m backend VERB`."""
        return next(process for process in self.processes() if command(process)[1:5] == ["-I", "-m", "backend", verb])

    def run(self, script: str, *arguments: object, uid: int = AGENT_UID, seconds: float = 120.0) -> Any:
        """Runs tests/bench/inside/SCRIPT.py in the sandbox as a uid; returns the JSON value that it prints."""
        code = (INSIDE / f"{script}.py").read_text()
        identity = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"] if uid else []
        command = ["nsenter", "--all", f"--target={self.init}", "--", *identity, "/usr/bin/python3", "-I", "-S", "-c", code]
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "TERM": "xterm-256color",
            "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",  # with the gate's CA, as in the agent's environment
        }  # fmt: skip
        done = subprocess.run(
            [*command, *map(str, arguments)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            timeout=seconds, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)


@contextlib.contextmanager
def running(*options: str, pretend: str = "", domains: str = "", **environment: str) -> Iterator[Sandbox]:
    """A booted sandbox. `pretend` (its internet, TOML) and `domains` (its allowlist) replace the shipped ones."""
    with tempfile.TemporaryDirectory(prefix="codetainer-bench-") as folder:
        files = [
            f"--{kind}={_written(Path(folder) / kind, text)}"
            for kind, text in (("pretend", pretend), ("domains", domains))
            if text
        ]
        name = f"bench-{os.getpid()}"
        command = [sys.executable, "-I", "-m", "backend", "up", "--net=pretend", f"--name={name}", *files, *options]
        log = Path(folder) / "log"
        with log.open("wb") as stderr:
            started = time.time()
            up = subprocess.Popen(
                [*command, "--", "sh", "-c", "echo booted; exec cat"],
                env={"PATH": os.defpath, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        assert up.stdout is not None and up.stdin is not None
        try:
            if up.stdout.readline() != b"booted\n":
                raise RuntimeError(f"the sandbox did not boot:\n{log.read_text()[-4000:]}")
            yield Sandbox(started, up.pid, registry.find(name), log)
        finally:
            up.stdin.close()
            try:
                up.wait(timeout=20)
            except subprocess.TimeoutExpired:
                up.kill()
                up.wait()
            up.stdout.close()


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
