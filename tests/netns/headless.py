"""A program whose main thread ends while another thread works, so that it looks like a zombie in /proc.

A C program would call pthread_create(work) and pthread_exit(0). In Python the main thread ends with the system call exit(2),
which ends one thread; only its number differs between architectures (asm/unistd.h).
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from backend import processes
from tests.netns.sandbox import eventually

PYTHON: str = sys._base_executable  # type: ignore[attr-defined]

WORK = """
def work():
    while True:
        with open(sys.argv[1], "w") as file:
            file.write(str(time.time()))
        time.sleep(0.01)
"""


def program(work: str) -> str:
    """Returns the program's code. `work` is source that defines `work()`, which the remaining thread runs."""
    return f"""
import ctypes, platform, socket, sys, threading, time
{work}
threading.Thread(target=work).start()
ctypes.CDLL(None).syscall({{"x86_64": 60, "aarch64": 93}}[platform.machine()], 0)
"""


CODE = program(WORK)


def is_headless(pid: int) -> bool:
    states = processes.threads(pid)
    return len(states) > 1 and states[pid] == "Z"


@contextlib.contextmanager
def headless(place: Path, *through: str, work: str = WORK) -> Iterator[subprocess.Popen[bytes]]:
    """Runs such a process, which writes to the file `place`. `through` is a command prefix that executes the program."""
    process = subprocess.Popen([*through, PYTHON, "-I", "-c", program(work), str(place)])
    try:
        eventually("its main thread has ended", lambda: is_headless(process.pid))
        eventually("it works", lambda: place.exists() and place.read_text())
        yield process
    finally:
        process.kill()
        process.wait()
