"""`up` at a terminal: the operator's dashboard and the agent's session in turn, until the operator has stopped the sandbox.

The dashboard is root's, in the sandbox, and its exit code is what the operator has decided. The session is shown by a tmux
client of the agent's on another terminal of the sandbox's own: what it ends with means nothing, and what it leaves behind on
the operator's terminal is undone before the dashboard comes back.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator

from backend import system
from backend.contract.leaving import Leaving
from backend.contract.paths import Paths
from backend.sandbox import relay, terminal
from backend.sandbox.enter import environment_for, terminal_variables
from backend.sandbox.first_process import FirstProcess
from backend.sandbox.relay import Command, Ended, Watcher
from backend.system import AGENT, BASE_ENVIRONMENT, ROOT

FRONT_END = "/usr/local/bin/codetainer"
FALLBACK_TERM = "xterm-256color"
HANG_UP = 128 + signal.SIGHUP


class NoFrontEnd(Exception):
    """Neither the dashboard nor its plain form can be shown. The sandbox goes on."""


class Attended:
    """`name` is the sandbox's. `run` needs the operator's terminal, raw (terminal.raw)."""

    def __init__(self, sandbox: FirstProcess, name: str, *, plain: bool) -> None:
        self._sandbox, self._name, self._plain = sandbox, name, plain

    def run(self) -> int:
        """The exit code that `up` ends with. Raises NoFrontEnd."""
        try:
            return self._run()
        except OSError as error:
            if not terminal.is_there():
                return HANG_UP
            raise NoFrontEnd from error

    def _run(self) -> int:
        stay = locked = False
        while True:
            ended = self._front_end(stay=stay, locked=locked)
            if ended.hung_up:
                return HANG_UP
            if (code := self._sandbox.ended()) is not None:
                return code
            match ended.code:
                case Leaving.STOP:
                    return 0
                case Leaving.NO_SESSION:
                    return 1
                case Leaving.INTERRUPTED:
                    return 128 + signal.SIGINT
                case Leaving.SESSION:
                    leaving = Detaching()
                    if self._session(leaving).hung_up:
                        return HANG_UP
                    stay, locked = True, not leaving.wanted
                case _ if not self._plain:
                    self._plain = stay = True
                case _:
                    raise NoFrontEnd

    def _front_end(self, *, stay: bool, locked: bool) -> Ended:
        options = [*(["--plain"] if self._plain else []), *(["--stay"] if stay else []), *(["--locked"] if locked else [])]
        argv = [FRONT_END, "attach", "--of-up", self._name, *options]
        ended = self._shown(Command(self._sandbox.pid, argv, ROOT, environment_for(ROOT, self._sandbox.pid), "/"))
        if ended.code > 128:  # it was killed
            terminal.reset(ended.code)
        return ended

    def _session(self, leaving: Detaching) -> Ended:
        terminal.settle()  # what the dashboard has asked the terminal is not to be answered to the agent
        argv = ["tmux", "-u", "-S", str(Paths().tmux_socket), "attach-session", "-t", "$0"]  # the first session, by its id
        own = terminal_variables()
        environment = {
            "HOME": "/home/claude", "USER": "claude", "LOGNAME": "claude", "SHELL": "/bin/bash", "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin", **own, "TERM": known_term(own.get("TERM", "")),
        }  # fmt: skip
        code = 255
        try:
            with leaving.taking_away():
                ended = self._shown(Command(self._sandbox.pid, argv, AGENT, environment, "/"), leaving)
                code = ended.code
                return ended
        finally:
            terminal.reset(code)
            terminal.settle()

    @staticmethod
    def _shown(command: Command, watcher: Watcher | None = None) -> Ended:
        with relay.reported(command) as outcome:
            ended = relay.show(command, watcher)
            outcome.code = ended.code
        return ended


class Detaching:
    """Knows whether it was the operator who left the session, and ends a client that does not let go of the terminal then.

    The agent's tmux may let go at any time, so that what is being typed for the session would reach the dashboard; or it may
    hang, or not want to.
    """

    SECONDS = 2.0  # for tmux to let go; and so long before the end the keys count
    # ctrl+b d as terminals send it: plainly, by xterm's other keys, by kitty's protocol. With another ctrl+b before it, it is
    # for a tmux within the session.
    _PREFIX = rb"(?:\x02|\x1b\[27;5;98~|\x1b\[98;5(?::1)?u)"
    _KEYS = re.compile(rb"(?<!\x02)" + _PREFIX + rb"(?:d|\x1b\[27;1;100~|\x1b\[100(?:;1(?::1)?)?u)")
    # What terminals say by themselves, or asked by the agent: focus, mouse, attributes, places, modes, strings.
    _REPORTS = re.compile(rb"\x1b\[[IO]|\x1b\[[<>=?]?[0-9;:]*[$]?[cMmnRty]|\x1b[P\]_^][^\x1b\x07]*(?:\x1b\\|\x07)")
    _MAX_TAIL = 4096

    def __init__(self) -> None:
        self._tail = b""
        self._at = 0.0  # when the keys were typed, in seconds of the steady clock; 0: not yet
        self._client = -1
        self.wanted = False  # at the end: whether the operator has just asked for it, and has typed nothing since

    def began(self, command: int) -> None:
        self._client = command

    def typed(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-self._MAX_TAIL :]
        found = list(self._KEYS.finditer(self._tail))
        if found:
            self._tail = self._tail[found[-1].end() :]
            self._at = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, self.SECONDS)

    @contextlib.contextmanager
    def taking_away(self) -> Iterator[None]:
        """Within it, a client that is still there some seconds after the keys is killed."""
        before = signal.signal(signal.SIGALRM, self._take_away)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if self._client >= 0:
                os.close(self._client)
            lately = self._at and time.monotonic() - self._at < self.SECONDS + 1.0
            self.wanted = bool(lately) and not self._REPORTS.sub(b"", self._tail)

    def _take_away(self, *_: object) -> None:
        if self._client >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._client, signal.SIGKILL)


def known_term(term: str) -> str:
    """The terminal's own type if tmux can draw on it, else one that works nearly everywhere (as handover.known_term)."""
    if term and term != "dumb":
        done = system.run(["tput", "-T", term, "cup", "0", "0"], environment=BASE_ENVIRONMENT, check=False)
        if done.code == 0:
            return term
    return FALLBACK_TERM
