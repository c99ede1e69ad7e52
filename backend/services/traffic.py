"""The traffic log: every connection that the gate carried, for audits. Bounded in size and in lines per second.

Its lines form a hash chain, whose head the journal's seals contain. A full file system loses lines but does not stop the
supervisor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from backend.chained_log import ChainedLog
from backend.contract.traffic import Connection, encode

SEGMENT_BYTES = 2 << 20  # size of a file; one older file is kept
MAX_A_SECOND = 256
MEMBER_BYTES = 160  # at most, of the members that the chain adds to a line


class TrafficLog:
    """Appends connections. Those beyond MAX_A_SECOND in a second are added up in one line."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._log = ChainedLog(path, path.with_name(f"{path.name}.1"))
        self._second, self._lines = 0, 0
        self._rest: Connection | None = None

    @property
    def head(self) -> str:
        return self._log.head

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
        """Writes the line for connections that were added up."""
        if self._rest is not None:
            self._write(self._rest)
            self._rest = None

    def _write(self, connection: Connection) -> None:
        text = encode(connection)
        if self._log.size + len(text) + MEMBER_BYTES > self._segment_bytes:
            self._log.turn(text)
        else:
            self._log.append(text)
