"""Ends the agent: every process of its uid, before the last count and the last save."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from backend import processes

END_SECONDS = 0.5  # for the agent's processes to end by themselves
POLL_SECONDS = 0.02


def _is_here(pid: int) -> bool:
    """Whether a process is in this sandbox: in a container with the machine's pids the uid is somebody's outside, too.

    Any of its threads tells: the main one may have ended before the others.
    """
    own = Path("/proc/self/ns/mnt").stat().st_ino
    for thread in processes.places(processes.PROC / str(pid)):
        try:
            return (thread / "ns/mnt").stat().st_ino == own
        except PermissionError:
            return True  # who may not ask (no CAP_SYS_PTRACE) has a pid namespace of its own
        except OSError:
            continue  # it has ended
    return not processes.ended(pid)  # its threads end faster than they can be looked at


async def end_agent() -> None:
    """Ends every process of the agent's: what is counted and saved then is what there is at the end."""
    by_themselves = round(END_SECONDS / POLL_SECONDS)
    for look in range(2 * by_themselves):
        left = [pid for pid in processes.of_agent() if _is_here(pid)]
        if not left:
            return
        if look >= by_themselves:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(POLL_SECONDS)
