"""Ends all processes with the agent's uid, before unsaved work is counted and saved for the last time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from backend import processes

END_SECONDS = 0.5  # for the agent's processes to exit without SIGKILL
POLL_SECONDS = 0.02


def _is_here(pid: int) -> bool:
    """True if a process is in this sandbox. If a container uses the host's pid namespace, others may have the same uid.

    Looks at every thread, because the main thread may have exited before the others.
    """
    own = Path("/proc/self/ns/mnt").stat().st_ino
    for thread in processes.places(processes.PROC / str(pid)):
        try:
            return (thread / "ns/mnt").stat().st_ino == own
        except PermissionError:
            return True  # no CAP_SYS_PTRACE: then the sandbox has a pid namespace of its own
        except OSError:
            continue  # the thread has exited
    return not processes.ended(pid)  # its threads exit faster than we can look at them


async def end_agent() -> None:
    """Waits END_SECONDS for all of the agent's processes to exit, then kills the rest, so that its files no longer change."""
    patience = round(END_SECONDS / POLL_SECONDS)
    for attempt in range(2 * patience):
        remaining = [pid for pid in processes.of_agent() if _is_here(pid)]
        if not remaining:
            return
        if attempt >= patience:
            for pid in remaining:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(POLL_SECONDS)
