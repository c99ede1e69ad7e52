"""Root's two locks: one makes logins wait for boot, the other prevents a second boot.

They use flock(2): the kernel releases a lock when its process dies, so locks are never stale and two boots never run at once.
We call flock ourselves: the library filelock falls back to marker files, which outlive their process. If the file system
refuses a lock, its version 3 waited as if another process held it, and version 4 raises OSError.
"""

from __future__ import annotations

import fcntl
import io
import os
import time
from pathlib import Path

from backend.system import SystemFailure

POLL_SECONDS = 0.05


class Lock:
    """`Paths.lock` (held until boot is over; logins wait for it) or `Paths.boot_lock` (held while the boot process lives)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None

    def acquire(self, seconds: float = 0.0) -> None:
        """Acquires the lock, waiting up to `seconds`, unless it has it. Raises SystemFailure.

        An error other than a holder, such as ENOLCK, does not go away by waiting, and is reported at once.
        """
        if self._file is not None:
            return
        deadline = time.monotonic() + seconds
        try:
            file = io.FileIO(str(self._path), "r+", opener=_opened)
            while not _flock(file):
                if time.monotonic() >= deadline:
                    file.close()
                    raise SystemFailure(
                        "cannot boot: another boot of this sandbox is running", "Run codetainer status to see its progress."
                    )
                time.sleep(POLL_SECONDS)
        except OSError as error:
            raise SystemFailure(
                f"cannot lock {self._path}: {error.strerror}", "Mount a local file system there that supports flock(2)."
            ) from error
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.release()


def _opened(name: str, _: int) -> int:
    # Readable by root only: an agent that could open it could hold it and block all logins.
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def _flock(file: io.FileIO) -> bool:
    """Returns False if another process holds the lock. Raises OSError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
