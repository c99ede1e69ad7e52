"""`up` at a terminal: shows the dashboard and the agent's session in turn, until the operator stops the sandbox.

The dashboard runs as root in the sandbox; its exit code is the operator's decision. A tmux client that runs as the agent shows
the session, on a terminal created inside the sandbox. Its exit code is ignored, and the operator's terminal is reset before the
dashboard is shown again.
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
    """Neither the dashboard nor its plain form can be shown. The sandbox keeps running."""


class Attended:
    """Shows a sandbox on the operator's terminal, which must be in raw mode (terminal.raw). `name` is the sandbox's name."""

    def __init__(self, sandbox: FirstProcess, name: str, *, plain: bool) -> None:
        self._sandbox, self._name, self._plain = sandbox, name, plain

    def run(self) -> int:
        """Shows both in turn and returns the exit code for `up`. Raises NoFrontEnd."""
        try:
            return self._run()
        except OSError as error:
            if not terminal.exists():
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
        if ended.code > 128:  # killed by a signal
            terminal.reset(ended.code)
        return ended

    def _session(self, leaving: Detaching) -> Ended:
        terminal.settle()  # the terminal's answers to the dashboard must not reach the agent
        argv = ["tmux", "-u", "-S", str(Paths().tmux_socket), "attach-session", "-t", "$0"]  # $0: the first session
        own = terminal_variables()
        environment = {
            "HOME": "/home/claude", "USER": "claude", "LOGNAME": "claude", "SHELL": "/bin/bash", "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin", **own, "TERM": known_term(own.get("TERM", "")),
        }  # fmt: skip
        code = 255
        try:
            with leaving.enforced():
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
    """Detects whether the operator detached from the session, and kills a client that does not detach then.

    The agent's tmux is untrusted. It may detach at any time, so that the dashboard would receive keys meant for the session. Or
    it may ignore the keys.
    """

    SECONDS = 2.0  # how long tmux may take to detach; keys that are older when the client ends do not count
    # ctrl+b d in the encodings that terminals use: plain, xterm's modifyOtherKeys, kitty's protocol. After another ctrl+b, it
    # is meant for a tmux inside the session.
    _PREFIX = rb"(?:\x02|\x1b\[27;5;98~|\x1b\[98;5(?::1)?u)"
    _KEYS = re.compile(rb"(?<!\x02)" + _PREFIX + rb"(?:d|\x1b\[27;1;100~|\x1b\[100(?:;1(?::1)?)?u)")
    # Reports that a terminal sends unprompted or because the agent asked: focus, mouse, attributes, positions, modes, strings.
    _REPORTS = re.compile(rb"\x1b\[[IO]|\x1b\[[<>=?]?[0-9;:]*[$]?[cMmnRty]|\x1b[P\]_^][^\x1b\x07]*(?:\x1b\\|\x07)")
    _MAX_TAIL = 4096

    def __init__(self) -> None:
        self._tail = b""
        self._at = 0.0  # time of the keys on the monotonic clock; 0 if not typed yet
        self._client = -1
        self.wanted = False  # set when the client ends: the operator has just typed the keys, and nothing since

    def began(self, command: int) -> None:
        self._client = command

    def typed(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-self._MAX_TAIL :]
        matches = list(self._KEYS.finditer(self._tail))
        if matches:
            self._tail = self._tail[matches[-1].end() :]
            self._at = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, self.SECONDS)

    @contextlib.contextmanager
    def enforced(self) -> Iterator[None]:
        """Kills the client if it is still running SECONDS after the keys."""
        before = signal.signal(signal.SIGALRM, self._kill_client)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if self._client >= 0:
                os.close(self._client)
            recent = self._at and time.monotonic() - self._at < self.SECONDS + 1.0
            self.wanted = bool(recent) and not self._REPORTS.sub(b"", self._tail)

    def _kill_client(self, *_: object) -> None:
        if self._client >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._client, signal.SIGKILL)


def known_term(term: str) -> str:
    """The terminal's own type if tmux can draw on it, else a type that works nearly everywhere (as handover.known_term)."""
    if term and term != "dumb":
        done = system.run(["tput", "-T", term, "cup", "0", "0"], environment=BASE_ENVIRONMENT, check=False)
        if done.code == 0:
            return term
    return FALLBACK_TERM
