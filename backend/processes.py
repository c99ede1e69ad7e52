"""The processes of a uid, and the threads that they consist of.

A process whose main thread has ended goes on in its other threads. /proc/PID then shows a zombie without descriptors, memory or
namespaces; /proc/PID/task/TID of a living thread shows all of them (proc(5), "/proc/pid/task"). So the state of /proc/PID alone
does not tell whether a process has ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from backend.contract.paths import AGENT_UID

PROC = Path("/proc")
ENDED = frozenset("ZX")  # proc(5): zombie, dead
GONE = "?"  # a thread that ended between being listed and being looked at, and may have started another one meanwhile


def of(uid: int) -> list[int]:
    """Every process of a uid, those included that have ended and wait for their parent."""
    found = []
    for process in PROC.iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and process.stat().st_uid == uid:
                found.append(int(process.name))
    return found


def of_agent() -> list[int]:
    """Every process of the agent's uid."""
    return of(AGENT_UID)


def stat(place: Path) -> list[str]:
    """The fields of a process's or a thread's stat, from its state on (proc(5) counts that as the third). Raises OSError."""
    return (place / "stat").read_text(errors="replace").rpartition(")")[2].split()


def born(pid: int) -> tuple[int, int]:
    """A process's pid and its start (clock ticks since the machine's): a number that is given out again has another start.

    Raises OSError where there is none.
    """
    return pid, int(stat(PROC / str(pid))[19])


def ended(pid: int) -> bool:
    """Whether no thread of a process is left. One look tells: threads that start and end in turn cannot hide behind two."""
    try:
        fields = stat(PROC / str(pid))
    except OSError:
        return True
    return fields[0] in ENDED and int(fields[17]) <= 1  # num_threads


def threads(pid: int) -> dict[int, str]:
    """The state of each thread, as proc(5) has it, or GONE; empty where there is no such process."""
    found = {}
    with contextlib.suppress(OSError):
        for thread in (PROC / str(pid) / "task").iterdir():
            state = GONE
            with contextlib.suppress(OSError):
                state = stat(thread)[0]
            found[int(thread.name)] = state
    return found


def places(process: Path) -> Iterator[Path]:
    """Where in /proc the main thread of a process is looked at, then each of the other threads."""
    yield process
    with contextlib.suppress(OSError):  # it has ended meanwhile
        yield from (thread for thread in (process / "task").iterdir() if thread.name != process.name)
