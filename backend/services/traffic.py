"""The traffic log: every connection that the gate carried, for audits. Bounded in size and in lines a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from logging.handlers import RotatingFileHandler
from pathlib import Path

from backend.contract.traffic import Connection, encode

SEGMENT_BYTES = 2 << 20  # and one more that came before
MAX_A_SECOND = 256


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (its name in the standard library)
        """A full file system costs lines, never the supervisor."""


class TrafficLog:
    """Appends connections. What is too much for a second is added up in one line."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._clock = clock
        self._file = _File(path, maxBytes=segment_bytes, backupCount=1, encoding="utf-8", delay=True)
        self._second, self._lines = 0, 0
        self._rest: Connection | None = None

    def add(self, connection: Connection) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
            self.flush()
        self._lines += 1
        if self._lines <= MAX_A_SECOND:
            self._write(connection)
        elif self._rest is None:
            self._rest = replace(connection, name="", address="", port=0)
        else:
            self._rest = replace(
                connection, name="", address="", port=0, count=self._rest.count + 1,
                bytes_in=self._rest.bytes_in + connection.bytes_in, bytes_out=self._rest.bytes_out + connection.bytes_out,
                seconds=self._rest.seconds + connection.seconds,
            )  # fmt: skip

    def flush(self) -> None:
        """Writes what was added up so far."""
        if self._rest is not None:
            self._write(self._rest)
            self._rest = None

    def _write(self, connection: Connection) -> None:
        self._file.handle(logging.makeLogRecord({"msg": encode(connection)}))
