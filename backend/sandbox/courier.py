"""Brings the agent's commits back while a sandbox of `codetainer up --work` runs, and once more before it ends.

The courier is a child of `up`. For each round it starts `backend work return` as the agent in the sandbox, and a receiver that
has dropped to the owner of the repository (receiver.py). Only a pipe connects the two. A round ends when the agent's side has a
commit that the operator lacks.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from backend.contract.events import BootState
from backend.contract.paths import Paths
from backend.sandbox import namespaces, receiver, relay
from backend.sandbox.first_process import STOP_SIGNALS, print_error, reset_signals
from backend.sandbox.followed_boot import FollowedBoot
from backend.sandbox.receiver import Failure
from backend.sandbox.relay import Command
from backend.sandbox.way_back import MAX_BRANCHES, Result, Target, WayBack
from backend.system import AGENT, describe
from backend.work import git

MIN_PAUSE = 0.5  # seconds between two rounds
MAX_PAUSE = 60.0
LAST_SECONDS = 60.0  # for all that is left when the sandbox ends
ROUNDS_PER_SECOND_OF_PAUSE = 20  # each round leaves a pack, and git gets slower with their number
END_SECONDS = 5.0  # for a process of the agent's that is killed: one in a frozen cgroup does not end
MOST_IN_ALL = 4  # times the size of /workspace, for all packs
MAX_NAMES = 4 * MAX_BRANCHES  # of branches that are remembered
MAX_STATE = 64 << 20
POLL_SECONDS = 0.2


class Courier:
    """The parent's side, in `up`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._child = 0
        self._control = -1
        self._failed = False
        self._state = os.memfd_create("codetainer-courier")

    def start(self, init: int) -> None:
        """Starts the courier for the sandbox whose first process has the pid `init`. Raises OSError."""
        parent = os.getpid()
        handle = os.pidfd_open(init)
        control, self._control = os.pipe()
        # The exception of a signal's handler must not leave this function in the child.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self._child = os.fork()
            if self._child == 0:
                with _exiting():
                    os.close(self._control)
                    namespaces.die_with_parent(parent)
                    os.setsid()
                    reset_signals()
                    _Rounds(self._target, init, handle, control, self._state).run()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(handle)
        os.close(control)

    def finish(self) -> None:
        """Brings back what is left, and waits for it, up to about LAST_SECONDS. The sandbox must still be running."""
        if self._child:
            os.close(self._control)
            handle = os.pidfd_open(self._child)
            if not select.select([handle], [], [], LAST_SECONDS + END_SECONDS)[0]:
                os.kill(self._child, signal.SIGKILL)
            self._failed = os.waitpid(self._child, 0)[1] != 0
            os.close(handle)
            self._child = 0

    def text(self) -> str:
        """Lines for the operator about what has come back."""
        content = os.pread(self._state, MAX_STATE, 0)
        told = WayBack.load(content).text(self._target.folder) if content else ""
        return told + (
            "codetainer: not everything came back: the process that brings it back has failed\n" if self._failed else ""
        )


@contextlib.contextmanager
def _exiting() -> Iterator[None]:
    """Runs a block in a forked process, and ends the process with it."""
    code = 1
    try:
        yield
        code = 0
    except BaseException as error:
        print_error(f"cannot bring commits back: {describe(error) if isinstance(error, OSError) else error}")
    finally:
        os._exit(code)


class _Rounds:
    """The courier itself."""

    def __init__(self, target: Target, init: int, handle: int, control: int, state: int) -> None:
        self._target, self._init, self._handle, self._control, self._state = target, init, handle, control, state
        self._paths = Paths(Path(f"/proc/{init}/root"))
        self._so_far = WayBack()
        self._seen: dict[str, str] = {}
        self._fresh: dict[str, str] = {}
        self._refused: dict[str, str] = {}  # branches that were not accepted, by commit: not asked for again
        self._one_by_one = False  # after a failure, so that one bad branch does not hold up the others
        self._failures = 0  # in a row
        self._busy = 0.0  # seconds that the last round took, without waiting

    def run(self) -> None:
        boot = FollowedBoot(self._paths.journal)
        while boot.released() is None and not self._pause(POLL_SECONDS):
            pass
        state = boot.released()  # a short COMMAND may have ended already
        if state is None or state.boot is BootState.HALTED:
            return  # the agent has never run
        while True:
            if not self._paths.frozen.exists() and self._round(wait=True, seconds=self._target.seconds) is None:
                break
            pause = max(2 * self._busy, self._so_far.packs / ROUNDS_PER_SECOND_OF_PAUSE, MIN_PAUSE * 2**self._failures)
            if self._pause(min(pause, MAX_PAUSE)):
                break
        self._last()

    def _last(self) -> None:
        """Brings back the rest."""
        if select.select([self._handle], [], [], 0)[0]:
            return self._tell("the sandbox ended by itself: commits of its last second may be lost")
        if self._paths.frozen.exists():
            return self._tell("the agent is frozen: commits that it made just before did not come back")
        self._refused.clear()
        deadline = time.monotonic() + LAST_SECONDS
        self._so_far.problems.clear()
        while (left := deadline - time.monotonic()) > 0:
            if not self._round(wait=False, seconds=left):
                return None
        return self._tell(f"not everything came back within {LAST_SECONDS:g} s")

    def _tell(self, problem: str) -> None:
        self._so_far.problems.append(problem)
        self._store()

    def _pause(self, seconds: float) -> bool:
        """Waits. True if the sandbox ends or is to end."""
        return bool(select.select([self._control, self._handle], [], [], seconds)[0])

    # --- one round ---

    def _round(self, *, wait: bool, seconds: float) -> bool | None:
        """Asks the agent's side once. True: something was taken or refused; False: nothing is left; None: `up` ends."""
        with _pipe() as (reading, writing):
            agent = _forked(lambda: self._ask(writing, wait=wait))
            os.close(writing)
            try:
                if wait:
                    ready = select.select([reading, self._control, self._handle], [], [])[0]
                    if reading not in ready:
                        return None
                result = self._receive(reading, seconds)
            finally:
                _end(agent)  # nothing of it outlives its round
        return self._took(result)

    def _ask(self, writing: int, *, wait: bool) -> None:
        """Runs the agent's side, with its output to the pipe, until it ends or `_end` ends it."""
        signal.signal(signal.SIGTERM, lambda *_: None)  # until the relay forwards it
        request = {
            "known": [*dict.fromkeys((*self._target.handed, *(one.commit for one in self._so_far.returned.values())))],
            "returned": {**self._seen, **self._refused}, "fresh": self._fresh, "wait": wait, "kind": self._target.kind,
            "most": 1 if self._one_by_one else MAX_BRANCHES,
        }  # fmt: skip
        file = os.memfd_create("request")
        with os.fdopen(os.dup(file), "wb") as opened:
            opened.write(json.dumps(request).encode())
        os.lseek(file, 0, os.SEEK_SET)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor, number in ((file, 0), (writing, 1), (null, 2)):
            os.dup2(descriptor, number)
        inside = Paths()
        argv = [str(inside.python), "-I", "-m", "backend", "work", "return", str(inside.workspace)]
        environment = {"HOME": str(inside.home), "USER": "claude", "LOGNAME": "claude", "LANG": "C.UTF-8", "PATH": git.PATH}
        relay.run(Command(self._init, argv, AGENT, environment, "/"), grace=0)

    def _receive(self, stream: int, seconds: float) -> Result | Failure:
        """Runs the receiver. Returns what it took, or why it took nothing."""
        begun = time.monotonic()
        with _pipe() as (reading, writing):
            child = _forked(
                lambda: receiver.receive(
                    replace(self._target, seconds=seconds, most=self._room()), stream, self._so_far, writing
                )
            )
            os.close(writing)
            data, deadline = b"", time.monotonic() + seconds + 10
            try:
                while select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    if not (piece := os.read(reading, 1 << 16)):
                        break
                    data += piece
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                os.kill(child, signal.SIGKILL)  # it may not have its own group yet
                os.waitpid(child, 0)
                self._busy = time.monotonic() - begun
        return receiver.decoded(data)

    def _room(self) -> int:
        """Bytes that the next pack may have: commits that the agent replaces again and again must not fill the disk."""
        return max(min(self._target.most, MOST_IN_ALL * self._target.most - self._so_far.size), 1)

    def _took(self, result: Result | Failure) -> bool:
        """Notes the result of a round. False if nothing is left, or nothing can be done about it."""
        if isinstance(result, Failure):
            self._failures = min(self._failures + 1, 10)
            self._so_far.failed(result.problem)
            if self._one_by_one:
                self._refused = _latest(self._refused | dict(result.branches))
            self._one_by_one = True
            self._store()
            return bool(result.branches)
        self._failures = 0
        self._seen = _latest(self._seen | dict(result.seen))
        self._refused = _latest(self._refused | dict(result.refused))
        self._fresh = {name: one.commit for name, one in result.returned.items()}
        self._so_far.add(result)
        if not result.more:
            self._one_by_one = False
        self._store()
        return bool(result.seen or result.refused)

    def _store(self) -> None:
        data = self._so_far.dump()
        os.ftruncate(self._state, 0)
        os.pwrite(self._state, data, 0)


def _latest(branches: dict[str, str]) -> dict[str, str]:
    """The last of the branches: the agent can name others each time."""
    return dict(list(branches.items())[-MAX_NAMES:])


def _forked(body: Callable[[], None]) -> int:
    """Runs `body` in a child that ends with this process. Returns its pid."""
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        with _exiting():
            namespaces.die_with_parent(parent)
            body()
    return child


def _end(relaying: int) -> None:
    """Ends a process that relays a command, and the command before it: an orphan would delay the end of the sandbox."""
    handle = os.pidfd_open(relaying)
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        os.kill(relaying, signal.SIGTERM)  # again, because it may not forward it yet
        if select.select([handle], [], [], 0.05)[0]:
            break
    else:
        os.kill(relaying, signal.SIGKILL)
    os.close(handle)
    os.waitpid(relaying, 0)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """A pipe. The block closes the writing end, the end of the block the other one."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(reading)
