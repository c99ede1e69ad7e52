"""Writes the agent's files and root's description of the sandbox to an archive.

The files are listed, read and compressed by programs that run as the agent. Root copies their output without reading it.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from backend import system
from backend.contract.immutable import dataclass
from backend.contract.paths import Paths
from backend.suspension.archive import PIECE, Writer
from backend.suspension.description import FOLDERS, MAX_ENTRIES, Manifest, Suspended
from backend.suspension.process import ENTRIES, LEFT_OUT, MORE
from backend.system import AGENT, BASE_ENVIRONMENT, Finished, SystemFailure

# Times of files in full, but not those of reading; holes stay holes; no set-user-ID bits, which resuming refuses.
TAR = (
    "tar", "--create", "--format=pax", "--pax-option=delete=atime,delete=ctime", "--sparse", "--mode=ug-s", "--numeric-owner",
    "--no-recursion", "--null", "--files-from=-", "--ignore-failed-read", "--totals",
)  # fmt: skip
# The agent stands still meanwhile: level 2 takes a third less time than level 3, and 6 % more room. Without --single-thread, it
# takes 40 MB more memory, and no less time.
ZSTD = ("zstd", "--quiet", "--stdout", "-2", "--check", "--single-thread")
MAX_NAMED = 20  # files that are left out, in the manifest
LOOK_SECONDS = 0.5
SECONDS = 600.0
_TOTAL = re.compile(r"Total bytes written: (\d{1,18})\b")


class Aborted(Exception):
    """Writing was interrupted on purpose."""


@dataclass(frozen=True, slots=True)
class Written:
    """An archive that is complete: its size in bytes, and what it has."""

    size: int
    manifest: Manifest


def folders(paths: Paths) -> dict[str, Path]:
    return {name: paths.root / name for name in FOLDERS}


async def write(
    out: int, state: Suspended, journal: bytes, paths: Paths, stop: threading.Event, seconds: float = SECONDS
) -> Written:
    """Writes an archive to a descriptor. The agent should not be running.

    Raises Aborted if `stop` is set meanwhile, SystemFailure if a program fails or takes longer than `seconds`, OSError if the
    archive cannot be written.
    """
    patience = _Patience(stop, time.monotonic() + seconds)
    writer = Writer(out, patience.writable)
    reading, writing = system.pipe()
    os.set_blocking(reading, False)
    python = [str(paths.python), "-I", "-m", "backend", "suspension"]
    programs = ([*python, "names", str(paths.root)], TAR, ZSTD)
    nothing = asyncio.subprocess.DEVNULL
    try:
        async with system.pipeline(
            programs, identity=AGENT, environment=BASE_ENVIRONMENT, stdin=nothing, stdout=writing, cwd=paths.root
        ) as running:
            await patience.finish(lambda: _copy(reading, writer, state, journal, patience))
            async with asyncio.timeout(max(1.0, patience.left)):
                listed, archived, compressed = await running.wait()
        manifest = _manifest(listed, archived, compressed, paths)
        await patience.finish(lambda: writer.finish(manifest))
    except TimeoutError as error:
        raise SystemFailure(f"cannot write the agent's files: not done within {seconds:g} s") from error
    finally:
        os.close(reading)
    return Written(writer.size, manifest)


class _Patience:
    """Waits in a thread for descriptors that other processes may keep busy for ever: until a deadline, or an interruption."""

    def __init__(self, stop: threading.Event, deadline: float) -> None:
        self._stop, self._deadline = stop, deadline
        self._cancelled = threading.Event()

    @property
    def left(self) -> float:
        return self._deadline - time.monotonic()

    def readable(self, descriptor: int) -> None:
        """Waits for data. Raises Aborted, TimeoutError."""
        self._until(lambda: select.select([descriptor], [], [], LOOK_SECONDS)[0])

    def writable(self, descriptor: int) -> None:
        """Waits for room. Raises Aborted, TimeoutError."""
        self._until(lambda: select.select([], [descriptor], [], LOOK_SECONDS)[1])

    def _until(self, ready: Callable[[], object]) -> None:
        while True:
            if self._stop.is_set() or self._cancelled.is_set():
                raise Aborted
            if self.left < 0:
                raise TimeoutError
            if ready():
                return

    async def finish(self, work: Callable[[], None]) -> None:
        """Runs work in a thread. If this is cancelled, the work ends first, because it uses our descriptors."""
        running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            self._cancelled.set()
            await asyncio.wait((running,))
            raise


def _copy(reading: int, writer: Writer, state: Suspended, journal: bytes, patience: _Patience) -> None:
    """Copies the agent's output in pieces."""
    writer.begin(state, journal)
    piece = bytearray()
    while True:
        patience.readable(reading)
        data = os.read(reading, PIECE - len(piece))
        piece += data
        if len(piece) == PIECE or (piece and not data):
            writer.piece(bytes(piece))
            piece.clear()
        if not data:
            return


def _manifest(listed: Finished, archived: Finished, compressed: Finished, paths: Paths) -> Manifest:
    """Describes what the programs have done. They ran as the agent, so their numbers are checked again when it is resumed."""
    for done in (compressed, listed):
        if done.code != 0:
            raise SystemFailure(f"cannot read the agent's files: {done.argv[0].rpartition('/')[2]}: {done.last_line[:300]}")
    total = _TOTAL.search(archived.err)
    if archived.code not in (0, 1) or total is None:  # 1: files changed while they were read (tar's manual, "Return Codes")
        raise SystemFailure(f"cannot read the agent's files: {archived.last_line[:300]}")
    numbers = {key: _number(listed.err, key) for key in (ENTRIES, MORE)}
    left_out = [line[:500] for line in _left_out(listed, archived)]
    more = numbers[MORE] + max(0, len(left_out) - MAX_NAMED)
    if numbers[ENTRIES] > MAX_ENTRIES:
        raise SystemFailure(f"cannot suspend: there are {numbers[ENTRIES]} files, and at most {MAX_ENTRIES} can be resumed")
    used = {name: _used(folder) for name, folder in folders(paths).items()}
    return Manifest(int(total[1]), numbers[ENTRIES], used, tuple(left_out[:MAX_NAMED]), more)


def _left_out(listed: Finished, archived: Finished) -> Iterator[str]:
    for line in listed.err.splitlines():
        if line.startswith(LEFT_OUT):
            yield line.removeprefix(LEFT_OUT)
    for line in archived.err.splitlines():
        text = line.removeprefix("tar: ")
        if line.startswith("tar: ") and not text.startswith(("Exiting with", "Total bytes")):
            yield f"/{text}"


def _number(text: str, key: str) -> int:
    last = next((line for line in reversed(text.splitlines()) if line.startswith(key)), "")
    digits = last.removeprefix(key)
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise SystemFailure("cannot read the agent's files: the list of files is not complete")
    return int(digits)


def _used(folder: Path) -> int:
    """The bytes that a file system in memory takes."""
    space = os.statvfs(folder)
    return (space.f_blocks - space.f_bfree) * space.f_frsize


def described(left_out: Sequence[str], more: int) -> str:
    """What an archive lacks, in words; "" if it has everything."""
    return "; ".join((*left_out, *([f"and {more} more"] if more else [])))
