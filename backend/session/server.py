"""The session's tmux server, driven through libtmux.

tmux runs as the agent, so its answers are untrusted: they may be wrong, endless, or never come. Stock libtmux starts tmux as
its caller, with its caller's environment, and reads the whole answer without limiting time or size. Here every command goes
through `backend/system.py`: as the agent, under the system call filter, with an explicit environment, a timeout, and a limit
to its output, MAX_ANSWER bytes by default.

Usable parts of libtmux: `Server.cmd`, the methods built on it (`kill`, `has_session`, ...), and such methods of a pane, window
or session created from its id (`Pane(server=server, pane_id="%0")`). Methods that look up objects (`sessions`, `panes`,
`new_session`, `refresh`) or tmux's version would bypass `cmd`. They read `tmux_bin` first, which raises.
Avoid `display_message`: it writes tmux's errors to our stderr, control characters included. Use `cmd` instead.
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

MAX_ANSWER = 4096  # bytes of stdout, and of stderr
MAX_COMMANDS = 16  # in one `perform`
SECONDS = 30.0

Result = TypeVar("Result")


class Answer(tmux_cmd):
    """The answer to one command, as libtmux's methods expect it."""

    def __init__(self, done: Finished) -> None:  # does not call the parent's, which starts tmux
        self.cmd = list(done.argv)
        self.returncode = done.code
        self.stdout = done.out.rstrip("\n").split("\n") if done.out.strip("\n") else []
        self.stderr = [line for line in done.err.split("\n") if line]

    @property
    def reason(self) -> str:
        """The reason for a failure: the last line of stderr, or the exit code."""
        return self.stderr[-1] if self.stderr else f"exit code {self.returncode}"


class Server(libtmux.Server):
    """The tmux server at `Paths.tmux_socket`. Clients, and a server that they start, run as `identity` with `environment`."""

    def __init__(
        self, paths: Paths, environment: Mapping[str, str] = system.BASE_ENVIRONMENT, identity: Identity = AGENT
    ) -> None:
        super().__init__(socket_path=paths.tmux_socket, config_file=str(paths.tmux_config))
        self._environment, self._identity = environment, identity
        self._answers: list[Answer] | None = None  # during a call: the answers to its commands so far
        self._used = 0  # answers that the current attempt has used

    async def perform(self, call: Callable[[Server], Result], seconds: float = SECONDS, most: int = MAX_ANSWER) -> Result:
        """Runs `call`, e.g. `lambda server: server.kill()`, and returns its result.

        libtmux is synchronous and must not block the event loop. So `call` runs several times: `cmd` returns the answers from
        earlier runs and stops the call at the first command without one. That command is then run, and `call` starts again.
        This needs no thread, and cancelling it kills tmux. `call` must send the same commands each time.

        `seconds` limits the total time, `most` the bytes of each command's stdout, and of its stderr. Raises SystemFailure,
        also in place of libtmux's exceptions.
        """
        answers: list[Answer] = []
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            self._answers, self._used = answers, 0
            try:
                return call(self)
            except _NoAnswerYet as missing:
                argv = missing.argv
            except LibTmuxException as error:
                raise SystemFailure(f"cannot use tmux: {error}") from error
            finally:
                self._answers = None
            if len(answers) == MAX_COMMANDS:
                raise SystemFailure(f"cannot use tmux: one call sends more than {MAX_COMMANDS} commands")
            done = await system.run_distrusted(
                argv, what="tmux", identity=self._identity, environment=self._environment,
                seconds=max(0.0, deadline - asyncio.get_running_loop().time()), most=most,
            )  # fmt: skip
            answers.append(Answer(done))

    def cmd(self, cmd: str, *args: Any, target: str | int | None = None) -> Answer:  # type: ignore[override]  # as libtmux's own
        """Sends one command. libtmux's methods call this. Raises RuntimeError outside of `perform`."""
        if self._answers is None:
            raise RuntimeError("Server.cmd works within Server.perform only")
        to = () if target is None else ("-t", str(target))
        argv = ("tmux", f"-S{self.socket_path}", f"-f{self.config_file}", cmd, *to, *map(str, args))
        if self._used == len(self._answers):
            raise _NoAnswerYet(argv)
        answer = self._answers[self._used]
        self._used += 1
        if answer.cmd != list(argv):
            raise RuntimeError("the call does not send the same commands each time")
        return answer

    @property
    def tmux_bin(self) -> str | None:
        """The program that libtmux would start, bypassing `cmd`. Raises SystemFailure."""
        raise SystemFailure("cannot use this part of libtmux: it would start tmux itself")

    @tmux_bin.setter
    def tmux_bin(self, path: str | None) -> None:
        """Ignored; libtmux's constructor sets it."""


class _NoAnswerYet(BaseException):
    """Stops a call at a command that has not run yet. Not an Exception, since libtmux catches those in places."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        super().__init__(argv)
        self.argv = argv
