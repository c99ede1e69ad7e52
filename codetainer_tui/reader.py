"""The journal as it grows: from the current segment on, across segments, whether it is there already or not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.contract.events import Stamped, decode

POLL_SECONDS = 0.1


class Reader:
    """Reads what is new with each call of `read`. A line that is no event is passed over: a crash may have cut it short."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._inode = 0
        self._rest = b""

    def read(self) -> list[Stamped]:
        """The events since the last call; none where there is no journal yet."""
        found: list[Stamped] = []
        while True:
            if self._descriptor < 0 and not self._open():
                return found
            found += self._lines()
            if not self._replaced():
                return found
            # The old segment is read to its end before the new one is begun: its snapshot repeats, and loses, nothing.
            found += self._lines()
            self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._rest = -1, b""

    def _open(self) -> bool:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        self._inode = os.fstat(self._descriptor).st_ino
        return True

    def _lines(self) -> list[Stamped]:
        if os.lseek(self._descriptor, 0, os.SEEK_CUR) > os.fstat(self._descriptor).st_size:
            os.lseek(self._descriptor, 0, os.SEEK_SET)  # begun again for want of room
            self._rest = b""
        found: list[Stamped] = []
        while data := os.read(self._descriptor, 1 << 20):
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                try:
                    found.append(decode(line.decode(errors="replace")))
                except ValueError:
                    continue
        return found

    def _replaced(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except OSError:
            return False


def follow(path: Path, ended: Callable[[], bool]) -> Iterator[Stamped]:
    """Events one by one as they come, until `ended` says so and everything is read."""
    reader = Reader(path)
    try:
        while True:
            last = ended()
            yield from reader.read()
            if last:
                return
            time.sleep(POLL_SECONDS)
    finally:
        reader.close()
