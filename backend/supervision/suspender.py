"""Writes all of the sandbox's work to archives while it runs and when it stops, and opens what a resumed sandbox had open."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import io
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from backend.context import Boot
from backend.contract.control import Reply
from backend.contract.events import Noted, SessionState, WorkSuspended
from backend.journal import Journal
from backend.supervision.freezing import Freezing
from backend.supervision.grants import BY_HAND, Grants, written
from backend.suspension import writing
from backend.suspension.description import Granted, Suspended
from backend.suspension.places import Store, refuse_agents, replacing
from backend.suspension.writing import Aborted, Written
from backend.system import SystemFailure, describe
from network import allowlist, grant
from network.gate import budget
from network.names import EntryError

# A turn is under way, or would be if the API let it.
AT_WORK = (SessionState.WORKS, SessionState.LIMITED, SessionState.OVERLOADED, SessionState.REFUSED, SessionState.STUCK)
JOURNAL_BYTES = 8 << 20
CHUNK = 64 << 10
DESCRIPTOR = re.compile(r"/proc/[1-9]\d{0,9}/fd/\d{1,6}\Z")
BEFORE = ", before the sandbox was suspended"
MAX_BY = 100
SPARE = 0.02  # of the interval: an archive may take longer than the one before
RETRY_SECONDS = 60.0  # after an archive could not be written, unless the interval is shorter


class Suspender:
    """One sandbox's archives: those that the operator asks for, and those of CODETAINER_STATE."""

    def __init__(self, boot: Boot, journal: Journal, grants: Grants, freezing: Freezing) -> None:
        self._boot, self._journal, self._grants, self._freezing = boot, journal, grants, freezing
        self._writing = asyncio.Lock()
        self._store = Store(Path(boot.settings.state)) if boot.settings.state else None
        self._reported = ""  # the problem that was reported last
        self._began = False
        self._opened = False

    async def run(self) -> None:
        """Opens the grants of the suspended sandbox, then keeps the work in CODETAINER_STATE until it is cancelled."""
        if not self._opened:
            await self._open()
            self._opened = True
        self._began = True
        interval = self._boot.settings.state_seconds
        pause = interval / 2  # how long the first archive will take is not known
        while self._store is not None:
            await asyncio.sleep(pause)
            begun = time.monotonic()
            kept = await self._keep(self._store, Freezing.held, writing.SECONDS)
            pause = pause_after(interval, time.monotonic() - begun) if kept else min(interval, RETRY_SECONDS)
        await asyncio.Event().wait()

    async def last(self, seconds: float) -> None:
        """Keeps the work for the last time: the agent has ended. Raises nothing."""
        if self._store is not None and self._began:
            try:
                await self._keep(self._store, _ended, seconds)
            except Exception as error:
                self._emit(WorkSuspended(str(self._store.folder), problem=f"{type(error).__name__}: {error}"))

    async def to_file(self, file: str) -> Reply:
        """Writes an archive where the operator wants it: to a file, or to a descriptor of the client's."""
        if not self._journal.state.session_created and not self._began:
            return Reply(False, "cannot suspend: the sandbox has not booted", "Run codetainer status to see how far it is.")
        shown = "stdout" if DESCRIPTOR.match(file) else file
        try:
            event = await self._write(self._target(file), shown, Freezing.held, writing.SECONDS)
        except SystemFailure as error:
            self._emit(WorkSuspended(shown, problem=str(error)))
            return Reply(False, f"cannot suspend to {shown}: {error}", error.hint)
        text = f"suspended to {shown}: {event.entries} files, {event.size >> 20} MB in {event.seconds:.1f} s"
        if not event.stood_still:
            text += "; the agent could not be stopped meanwhile, so its files may be of different moments"
        if lacks := writing.described(event.left_out, event.more):
            text += f"; not in it: {lacks}"
        return Reply(True, text)

    def _emit(self, event: WorkSuspended) -> None:
        """Reports an archive; a problem that repeats only once."""
        if not event.problem or event.problem != self._reported:
            self._journal.emit(event)
        self._reported = event.problem

    # --- writing ---

    async def _keep(self, store: Store, still: Still, seconds: float) -> bool:
        """Writes the next generation to the folder. False if that failed, which is reported."""
        try:
            file = await asyncio.to_thread(_next, store)
            try:
                event = await self._write(lambda: replacing(file), str(file), still, seconds)
            except SystemFailure as error:
                if not _is_full(error) or len(store.generations()) < 2:
                    raise
                await asyncio.to_thread(store.prune, 1)  # the newest one stays until the next is complete
                event = await self._write(lambda: replacing(file), str(file), still, seconds)
            await asyncio.to_thread(store.prune)
        except (SystemFailure, OSError) as error:
            problem = describe(error) if isinstance(error, OSError) else str(error)
            self._emit(WorkSuspended(str(store.folder), problem=problem))
            return False
        return bool(event.size)

    async def _write(self, target: Target, name: str, still: Still, seconds: float) -> WorkSuspended:
        """Writes one archive. Raises SystemFailure."""
        begun = time.monotonic()
        try:
            # The agent goes on before the file is synced to the disk, which can take long.
            async with self._writing, _in_thread(target()) as out, still(self._freezing) as stood_still:
                state, journal = self._state(), self._tail()
                written = await writing.write(out, state, journal, self._boot.paths, self._freezing.interrupted, seconds)
        except Aborted as error:
            raise SystemFailure("the agent was frozen meanwhile", "Repeat it: it works while the agent is frozen.") from error
        except OSError as error:
            hint = "Free space on the disk, or name another one." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise SystemFailure(describe(error), hint) from error
        event = self._described(written, name, time.monotonic() - begun, stood_still)
        self._emit(event)
        return event

    def _described(self, written: Written, name: str, seconds: float, stood_still: bool) -> WorkSuspended:
        manifest = written.manifest
        return WorkSuspended(
            name, written.size, manifest.entries, round(seconds, 3), manifest.left_out, manifest.more, stood_still
        )

    def _target(self, file: str) -> Target:
        """Where an archive goes. Raises SystemFailure if the agent could reach it."""
        if DESCRIPTOR.match(file):
            return lambda: _descriptor(file)
        path = Path(file)
        if not path.is_absolute():
            raise SystemFailure("expected an absolute path")
        try:
            refuse_agents(path.parent)
        except OSError as error:
            raise SystemFailure(describe(error)) from error
        except SystemFailure as error:
            hint = "Name a file on a volume, or run codetainer suspend > FILE from outside."
            raise SystemFailure(str(error), hint) from error
        if path.is_dir():
            raise SystemFailure("it is a folder")
        return lambda: replacing(path.parent.resolve() / path.name)

    # --- what root knows ---

    def _state(self) -> Suspended:
        boot, state = self._boot, self._journal.state
        account = boot.services.reader.account
        return Suspended(
            at=round(time.time(), 3), version=version("codetainer"), name=boot.settings.name,
            repository=boot.settings.repo_url, cloned=boot.cloned,
            working=state.session is not None and state.session.state in AT_WORK,
            grants=tuple(self._granted()), budget=budget.as_json(account), muted=dict(state.muted),
        )  # fmt: skip

    def _granted(self) -> Iterator[Granted]:
        """What the operator has opened by hand, but not what a learning run has."""
        open_now = (each for grants in self._grants.granted.values() for each in grants if not each.closed_by)
        for one in (each for each in open_now if each.entry.source == BY_HAND):
            words = next((grant.text(each) for each in one.entry.grants if each), "")  # the same for each port
            yield Granted(one.entry.pattern, written(one.entry, full=True), words, one.until, one.by)

    def _tail(self) -> bytes:
        """The end of the journal, from the beginning of a line, as gzip data."""
        current = self._boot.paths.journal
        return compressed_tail((current.with_name("events.1.jsonl"), current), JOURNAL_BYTES)

    # --- opening again ---

    async def _open(self) -> None:
        """Opens what the operator had allowed. Reports what has expired, or is not open for another reason."""
        resumed = self._boot.resumed
        if resumed is None:
            return
        for one in resumed.state.grants:
            try:
                why = await self._open_one(one)
            except EntryError as error:
                why = f"{error.reason}"
            except SystemFailure as error:
                why = str(error)
            if why:
                self._journal.emit(Noted("warning", f"{one.name[:253]} is not open any more: {why}"))

    async def _open_one(self, one: Granted) -> str:
        """Opens a name, unless its time is over. Returns why it is not open. Raises EntryError, SystemFailure."""
        now = time.time()
        if one.until and one.until <= now:
            ended = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.until)) if one.until > 0 else "long ago"
            return f"its time ended at {ended}, while the sandbox was suspended"
        entry = replace(allowlist.parse_entry(one.name, BY_HAND), ports=allowlist.parse_ports(one.ports))
        if one.grant:
            if not self._journal.state.gate:
                return "its requests cannot be limited: CODETAINER_GATE=off"
            entry = entry.granting(grant.parse([(0, word) for word in one.grant.split()]))
        by = one.by[:MAX_BY].removesuffix(BEFORE) if one.by.isprintable() else "unknown"
        await self._grants.grant(entry, one.until, by + BEFORE, unresolved=True)
        return ""


def compressed_tail(files: Sequence[Path], most: int) -> bytes:
    """Returns the last `most` bytes of files, from the beginning of a line, as gzip data.

    Leaves out files that cannot be read. Holds only the compressed data in memory.
    """
    out = io.BytesIO()
    with contextlib.ExitStack() as stack, gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as packed:
        opened = list[tuple[BinaryIO, int]]()
        for file in files:
            with contextlib.suppress(OSError):
                reading = stack.enter_context(file.open("rb"))
                opened.append((reading, os.fstat(reading.fileno()).st_size))
        skipped = max(0, sum(size for _, size in opened) - most)
        for each, size in opened:
            if skipped >= size:
                skipped -= size
                continue
            if skipped:
                each.seek(skipped)
                each.readline()
                skipped = 0
            shutil.copyfileobj(each, packed, CHUNK)
    return out.getvalue()


def pause_after(interval: float, took: float) -> float:
    """Returns the pause between two archives, in seconds, if the one before it took `took` seconds.

    A kill loses what the agent has done since the latest complete archive was begun. For this to be at most the interval, the
    next one must be complete by then. It may take half as long again and SPARE, as long as the one before took at most 19 % of
    the interval. The agent stands still while an archive is written, so it always gets at least half of the interval.
    """
    return max(interval / 2, interval * (1 - SPARE) - 2.5 * took)


# --- the agent, while its files are read ---

Still = Callable[[Freezing], contextlib.AbstractAsyncContextManager[bool]]
Target = Callable[[], contextlib.AbstractContextManager[int]]


@contextlib.asynccontextmanager
async def _ended(_: Freezing) -> AsyncIterator[bool]:
    yield True


def _next(store: Store) -> Path:
    store.require()
    return store.next()


def _is_full(error: SystemFailure) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)


@contextlib.asynccontextmanager
async def _in_thread(manager: contextlib.AbstractContextManager[int]) -> AsyncIterator[int]:
    """A context whose beginning and end wait for the disk, without stopping the event loop."""
    value = await asyncio.to_thread(manager.__enter__)
    try:
        yield value
    except BaseException as error:
        await asyncio.shield(asyncio.to_thread(manager.__exit__, type(error), error, error.__traceback__))
        raise
    await asyncio.to_thread(manager.__exit__, None, None, None)


@contextlib.contextmanager
def _descriptor(file: str) -> Iterator[int]:
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe may have no reader any more
    try:
        yield descriptor
    finally:
        os.close(descriptor)
