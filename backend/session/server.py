"""The session's tmux server, driven through libtmux.

The tmux server and its clients are the agent's processes: what they say may be anything, without end, or never come. libtmux
by itself starts tmux as its caller, hands it the caller's environment, and reads its answer to the end with no limit of time
or size. Here every command is a process of `backend/system.py`: as the agent, under the system call filter, with the
environment that it is given, at most MAX_ANSWER bytes of answer, and a limit of time.

What of libtmux can be used: `Server.cmd`, the methods that are made of it (`kill`, `has_session`, ...), and a pane, window or
session that is made by its id (`Pane(server=server, pane_id="%0")`), with such methods. Whatever looks up objects (`sessions`,
`panes`, `new_session`, `refresh`) or asks for tmux's version would start tmux in another way; it needs `tmux_bin` for that,
which is refused. `display_message` writes tmux's errors to stderr of this process, control characters and all: use `cmd`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import libtmux  # noqa: TID251
from libtmux.common import tmux_cmd  # noqa: TID251
from libtmux.exc import LibTmuxException  # noqa: TID251

from backend import system
from backend.contract.paths import Paths
from backend.system import AGENT, Finished, Identity, SystemFailure

MAX_ANSWER = 4096  # bytes; of stdout and stderr together
MAX_COMMANDS = 16  # that one call may be made of
SECONDS = 30.0

Result = TypeVar("Result")


class Answer(tmux_cmd):
    """What tmux answered to one command, in the form that libtmux gives it. Nothing is started by making one."""

    def __init__(self, done: Finished) -> None:  # its parent's starts the process
        self.cmd = list(done.argv)
        self.returncode = done.code
        self.stdout = done.out.rstrip("\n").split("\n") if done.code == 0 and done.out.strip("\n") else []
        self.stderr = [line for line in done.err.split("\n") if line]

    @property
    def reason(self) -> str:
        """Why it failed: the last line that tmux wrote, or its exit code."""
        return self.stderr[-1] if self.stderr else f"exit code {self.returncode}"


class Server(libtmux.Server):
    """The tmux server on `Paths.tmux_socket`, asked as `identity`. `environment` is what a server that is started has."""

    def __init__(
        self, paths: Paths, environment: Mapping[str, str] = system.BASE_ENVIRONMENT, identity: Identity = AGENT
    ) -> None:
        super().__init__(socket_path=paths.tmux_socket, config_file=str(paths.tmux_config))
        self._environment, self._identity = environment, identity
        self._answers: list[Answer] | None = None  # to the commands of the call that is being made
        self._given = 0  # of these, to this call

    async def perform(self, call: Callable[[Server], Result], seconds: float = SECONDS) -> Result:
        """Makes one call of libtmux's, such as `lambda server: server.kill()`, and returns what it returns.

        libtmux waits for each answer, and this process has other things to do meanwhile. So `cmd` hands out answers that are
        there already, and ends the call at the first command that has not been run. That one is run, and the call is made
        anew, until it comes to its end. Thus it needs no thread, and cancelling it ends the process that it waits for.

        Raises SystemFailure, also for libtmux's own exceptions.
        """
        answers: list[Answer] = []
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            self._answers, self._given = answers, 0
            try:
                return call(self)
            except _NotRunYet as missing:
                argv = missing.argv
            except LibTmuxException as error:
                raise SystemFailure(f"cannot use tmux: {error}") from error
            finally:
                self._answers = None
            if len(answers) == MAX_COMMANDS:
                raise SystemFailure(f"cannot use tmux: more than {MAX_COMMANDS} commands at once")
            done = await system.run_distrusted(
                argv, what="tmux", identity=self._identity, environment=self._environment,
                seconds=max(0.0, deadline - asyncio.get_running_loop().time()), most=MAX_ANSWER,
            )  # fmt: skip
            answers.append(Answer(done))

    def cmd(self, cmd: str, *args: Any, target: str | int | None = None) -> Answer:  # type: ignore[override]  # as libtmux's own
        """One tmux command, within `perform`; all of libtmux's methods come here."""
        if self._answers is None:
            raise RuntimeError("tmux is asked within Server.perform only")
        to = () if target is None else ("-t", str(target))
        argv = ("tmux", f"-S{self.socket_path}", f"-f{self.config_file}", cmd, *to, *map(str, args))
        if self._given == len(self._answers):
            raise _NotRunYet(argv)
        answer = self._answers[self._given]
        self._given += 1
        if answer.cmd != list(argv):
            raise RuntimeError("a call of libtmux's asked for something else when it was made again")
        return answer

    @property
    def tmux_bin(self) -> str | None:
        """What libtmux would start by itself. Raises SystemFailure."""
        raise SystemFailure("cannot ask tmux in this way: libtmux may not start it by itself")

    @tmux_bin.setter
    def tmux_bin(self, path: str | None) -> None:
        """libtmux sets it when it makes a server."""


class _NotRunYet(BaseException):
    """A command whose answer is not there yet. No Exception: libtmux catches those in places."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        super().__init__(argv)
        self.argv = argv
