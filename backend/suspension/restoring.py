"""Restores the agent's files from an archive, as the agent: what an archive can do is what the agent can do.

Root passes the compressed bytes on. A program that runs as the agent checks each header before tar reads it (members.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os

from backend import system
from backend.contract.paths import Paths
from backend.suspension.archive import Archive
from backend.suspension.description import Unreadable
from backend.system import AGENT, BASE_ENVIRONMENT, Finished, SystemFailure

# No link is followed, no owner restored; the modes are those of the archive, and the agent's top folders keep theirs.
TAR = (
    "tar", "--extract", "--preserve-permissions", "--no-same-owner", "--no-overwrite-dir", "--delay-directory-restore",
    "--warning=no-timestamp", "--file=-",
)  # fmt: skip
ZSTD = ("zstd", "--quiet", "--stdout", "--decompress", "--memory=32MB")
SECONDS = 600.0


async def restore(archive: Archive, paths: Paths, seconds: float = SECONDS) -> None:
    """Restores the agent's files. No process of the agent may be running.

    Raises Unreadable if the archive has something that suspending never writes, SystemFailure if the files cannot be written.
    What was restored until then remains.
    """
    reading, writing = system.pipe()
    python = [str(paths.python), "-I", "-m", "backend", "suspension"]
    check = [*python, "check", str(archive.manifest.size), str(archive.manifest.entries)]
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    feeding: asyncio.Future[None] | None = None
    try:
        async with (
            asyncio.timeout(seconds),
            system.pipeline(
                (ZSTD, check, TAR), identity=AGENT, environment=BASE_ENVIRONMENT, stdin=reading, stdout=nowhere, cwd=paths.root
            ) as running,
        ):
            feeding = asyncio.ensure_future(asyncio.to_thread(_feed, archive, writing))
            unpacked, checked, written = await running.wait()
    except TimeoutError as error:
        raise SystemFailure(f"cannot restore the agent's files: not done within {seconds:g} s") from error
    finally:
        if feeding is None:
            os.close(writing)
        else:  # it ends: with the programs, the pipe has no reader
            await asyncio.wait((feeding,))
    feeding.result()
    _judge(unpacked, checked, written)


def _feed(archive: Archive, writing: int) -> None:
    try:
        for piece in archive.pieces:
            view = memoryview(archive.read(piece))
            while view:
                view = view[os.write(writing, view) :]
    except BrokenPipeError:
        return  # a program has ended, and its exit code says why
    finally:
        os.close(writing)


def _judge(unpacked: Finished, checked: Finished, written: Finished) -> None:
    """Raises for the first program that failed: those before it then fail, too, because nobody reads their output."""
    if checked.code == 1:
        raise Unreadable(checked.last_line.removeprefix("refused: ")[:500])
    if written.code != 0:
        hint = ""
        if "No space left" in written.err:
            hint = "Raise CODETAINER_TMPFS_WORKSPACE, CODETAINER_TMPFS_HOME or CODETAINER_TMPFS_TMP."
        raise SystemFailure(f"cannot restore the agent's files: {_reason(written)}", hint)
    for done in (checked, unpacked):
        if done.code != 0:
            raise Unreadable(f"cannot unpack its files: {done.last_line[:300]}")


def _reason(written: Finished) -> str:
    """The first error of tar's: the last line only says that there were some."""
    lines = [line.removeprefix("tar: ") for line in written.err.splitlines() if line.startswith("tar: ")]
    with contextlib.suppress(StopIteration):
        return next(line for line in lines if "Exiting with failure" not in line)[:300]
    return written.last_line[:300]
