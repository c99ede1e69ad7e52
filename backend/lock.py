"""Root's two locks: one makes logins wait for boot, the other prevents a second boot.

They use flock(2): the kernel releases a lock when its process dies, so locks are never stale and two boots never run at once.
filelock may not fall back to marker files, which outlive their process, nor delete the file, which a login may have opened.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from backend.system import SystemFailure


class Lock:
    """`Paths.lock` (held until boot is over; logins wait for it) or `Paths.boot_lock` (held while the boot process lives)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Readable by root only: an agent that could open it could hold it and block all logins.
        self._lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False, preserve_lock_file=True)

    def acquire(self, seconds: float = 0.0) -> None:
        """Acquires the lock, waiting up to `seconds`. Raises SystemFailure.

        An error other than a holder, such as ENOLCK, does not go away by waiting, and is reported at once.
        """
        try:
            self._lock.acquire(timeout=seconds)
        except Timeout as error:
            raise SystemFailure(
                "cannot boot: another boot of this sandbox is running", "Run codetainer status to see its progress."
            ) from error
        except (OSError, NotImplementedError) as error:
            raise SystemFailure(
                f"cannot lock {self._path}: {getattr(error, 'strerror', '') or error}",
                "Mount a local file system there that supports flock(2).",
            ) from error

    def release(self) -> None:
        self._lock.release(force=True)
