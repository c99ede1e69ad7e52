"""Two locks of root's: one that says whether init is under way, one that keeps a second boot from beginning.

flock(2), so the kernel lets go of them whenever the process dies: a lock is never stale, and two inits never run at once.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from backend.system import SystemFailure


class Lock:
    """One of `Paths.lock` (held while init is under way; logins wait for it) and `Paths.boot_lock` (as long as boot lives)."""

    def __init__(self, path: Path) -> None:
        # Root's alone: an agent that could open it could hold it, and with it every login.
        self._lock = FileLock(path, mode=0o600, thread_local=False)

    def acquire(self, seconds: float = 0.0) -> None:
        """Takes the lock, within so many seconds. Raises SystemFailure where another process holds it."""
        try:
            self._lock.acquire(timeout=seconds)
        except Timeout as error:
            raise SystemFailure(
                "cannot boot: another boot of this sandbox is running", "Run codetainer status to see how far it is."
            ) from error

    def release(self) -> None:
        self._lock.release(force=True)
