"""The dashboard on a pseudo-terminal: time to the first output, and the cost of showing a quiet and a flooded sandbox."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import socket
import statistics
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from backend.contract.events import Reason, Refused, SandboxMeasured, Via, decode
from backend.contract.paths import Paths
from backend.journal import Journal
from tests.bench.rows import Row, measures
from tests.bench.sandbox import cpu, resident

STORY = Path(__file__).parents[1] / "journals/ready.jsonl"
STARTS = 7
QUIET_SECONDS = 3.0
FLOOD_SECONDS = 15
REFUSALS_A_SECOND, NAMES = 1000, 300
SHOW = """
import sys
from pathlib import Path
from backend.contract.paths import Paths
from codetainer_tui import dashboard
dashboard.run(Paths(Path(sys.argv[1])), stay=True)
"""
EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("Booted")
Empty().run()
"""


class Shown:
    """A program on a pseudo-terminal of 120 x 40."""

    def __init__(self, code: str, *arguments: object) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = {"PATH": os.defpath, "TERM": "xterm-256color", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
        self.began = time.monotonic()
        self.process = psutil.Popen(
            [sys.executable, "-I", "-c", code, *map(str, arguments)], stdin=slave, stdout=slave, stderr=slave, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def read(self, seconds: float) -> bytes:
        """Returns the output of the next `seconds`."""
        data, end = b"", time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self.master], [], [], left)[0]:
            data += os.read(self.master, 1 << 16)
        return data

    def until(self, text: bytes) -> float:
        """Returns the milliseconds from the program's start until its output contains `text`."""
        data = b""
        while text not in data:
            if not select.select([self.master], [], [], 20)[0]:
                raise RuntimeError(f"{text!r} is not shown: {data[-400:]!r}")
            data += os.read(self.master, 1 << 16)
        return (time.monotonic() - self.began) * 1000

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@contextlib.contextmanager
def recorded() -> Iterator[tuple[Paths, Journal]]:
    """A journal filled from a recorded boot, and a control socket that accepts connections."""
    with tempfile.TemporaryDirectory(prefix="codetainer-bench-") as folder, socket.socket(socket.AF_UNIX) as control:
        paths = Paths(Path(folder))
        paths.run.mkdir(parents=True)
        control.bind(str(paths.control))
        control.listen(64)
        journal = Journal(paths)
        now = time.time()
        recording = [decode(line) for line in STORY.read_text().splitlines()]
        for stamped in recording:
            journal.emit(stamped.event, at=now + stamped.at - recording[-1].at)
        yield paths, journal
        journal.close()


@contextlib.contextmanager
def showing(code: str, *arguments: object) -> Iterator[Shown]:
    shown = Shown(code, *arguments)
    try:
        yield shown
    finally:
        shown.end()


@measures("dashboard_first_line", "dashboard_first_paint")
def first() -> Iterator[Row]:
    """Measures from the start of Python to the first line and to the full screen; yardstick: an empty Textual app."""
    lines, paints, empty = [], [], []
    with recorded() as (paths, _):
        for _ in range(STARTS):
            with showing(SHOW, paths.root) as shown:
                lines.append(shown.until(b"opening the dashboard"))
                paints.append(shown.until(b"Booted"))
            with showing(EMPTY) as shown:
                empty.append(shown.until(b"Booted"))
    yield Row("dashboard_first_line", statistics.median(lines), "ms", most=60)
    beside = statistics.median(empty)
    yield Row("dashboard_first_paint", statistics.median(paints), "ms", most=600, yardstick="empty app", beside=beside)


@measures("dashboard_idle_bytes", "dashboard_cpu", "dashboard_bytes", "dashboard_resident")
def running() -> Iterator[Row]:
    """Measures the bytes for one changed cell, then CPU, bytes and memory at 1,000 refusals a second."""
    with recorded() as (paths, journal), showing(SHOW, paths.root) as shown:
        shown.until(b"Booted")
        shown.read(QUIET_SECONDS)
        changes = []
        for load in (31.0, 32.0, 33.0):
            journal.emit(SandboxMeasured(load, 1 << 30, 4 << 30, journal.state.sandbox.tmpfs if journal.state.sandbox else {}))
            changes.append(len(shown.read(QUIET_SECONDS)))
        sent, before, began = 0, cpu(shown.process), time.monotonic()
        for tick in range(FLOOD_SECONDS * 4):
            for number in range(REFUSALS_A_SECOND // 4):
                name = f"n{(tick * 250 + number) % NAMES}.flood.example"
                journal.emit(Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", name))
            sent += len(shown.read(max(0.0, began + (tick + 1) / 4 - time.monotonic())))
        spent = time.monotonic() - began
        busy, held = cpu(shown.process) - before, resident(shown.process)
    yield Row("dashboard_idle_bytes", statistics.median(changes), "B", most=200)
    yield Row("dashboard_cpu", busy / spent * 100, "%", most=6)
    yield Row("dashboard_bytes", sent / 1024 / spent, "KiB/s", most=15)
    yield Row("dashboard_resident", held, "MB", most=60)
