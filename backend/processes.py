"""Lists the processes of a uid and their threads.

A process keeps running in its other threads after its main thread has ended. /proc/PID then shows a zombie without descriptors,
memory or namespaces, while /proc/PID/task/TID of a living thread shows all of them (proc(5), "/proc/pid/task"). The state in
/proc/PID alone therefore does not prove that a process has ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from backend.contract.paths import AGENT_UID

PROC = Path("/proc")
ENDED = frozenset("ZX")  # proc(5): zombie, dead
GONE = "?"  # the thread ended after it was listed; it may have started another one before


def in_user_namespace(uid_map: Path = Path("/proc/self/uid_map")) -> bool:
    """True if root here is not the machine's root (user_namespaces(7): the first one maps all ids to themselves)."""
    return uid_map.read_text().split() != ["0", "0", "4294967295"]


def of(uid: int) -> list[int]:
    """The pids of all processes of a uid, including zombies."""
    pids = []
    for process in PROC.iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and process.stat().st_uid == uid:
                pids.append(int(process.name))
    return pids


def of_agent() -> list[int]:
    """The pids of all processes of the agent's uid."""
    return of(AGENT_UID)


def stat(place: Path) -> list[str]:
    """The fields in the stat file of a process or thread, from the state on (the third in proc(5)). Raises OSError."""
    return (place / "stat").read_text(errors="replace").rpartition(")")[2].split()


def born(pid: int) -> tuple[int, int]:
    """The pid and the start time of a process (clock ticks since the machine booted), which together identify it.

    Raises OSError if the process does not exist.
    """
    return pid, int(stat(PROC / str(pid))[19])


def ended(pid: int) -> bool:
    """True if a process has no thread left. Decides by a single read, because threads could start and end between two reads."""
    try:
        fields = stat(PROC / str(pid))
    except OSError:
        return True
    return fields[0] in ENDED and int(fields[17]) <= 1  # num_threads


def threads(pid: int) -> dict[int, str]:
    """The state of each thread (a letter of proc(5), or GONE) by its id; empty if the process does not exist."""
    states = {}
    with contextlib.suppress(OSError):
        for thread in (PROC / str(pid) / "task").iterdir():
            state = GONE
            with contextlib.suppress(OSError):
                state = stat(thread)[0]
            states[int(thread.name)] = state
    return states


def places(process: Path) -> Iterator[Path]:
    """The folders in /proc of a process's main thread, then of each other thread."""
    yield process
    with contextlib.suppress(OSError):  # the process has ended
        yield from (thread for thread in (process / "task").iterdir() if thread.name != process.name)
