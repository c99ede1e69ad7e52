"""A program whose main thread ends while another one works: what /proc shows of it looks like a zombie.

In C it is pthread_create(work) and pthread_exit(0). Python's main thread ends by the system call that pthread_exit makes in the
end: exit(2) ends one thread, and its number is all that differs between machines (asm/unistd.h).
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
    """`work` defines a function of that name, for the thread that goes on."""
    return f"""
import ctypes, platform, socket, sys, threading, time
{work}
threading.Thread(target=work).start()
ctypes.CDLL(None).syscall({{"x86_64": 60, "aarch64": 93}}[platform.machine()], 0)
"""


CODE = program(WORK)


def is_headless(pid: int) -> bool:
    found = processes.threads(pid)
    return len(found) > 1 and found[pid] == "Z"


@contextlib.contextmanager
def headless(place: Path, *through: str, work: str = WORK) -> Iterator[subprocess.Popen[bytes]]:
    """Such a process, which writes to `place`. `through`: what starts it, and becomes it."""
    process = subprocess.Popen([*through, PYTHON, "-I", "-c", program(work), str(place)])
    try:
        eventually("its main thread has ended", lambda: is_headless(process.pid))
        eventually("it works", lambda: place.exists() and place.read_text())
        yield process
    finally:
        process.kill()
        process.wait()
