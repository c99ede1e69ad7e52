"""The front end of `codetainer up`. Its exit code tells `up` what to do next (backend/contract/leaving.py).

It never becomes the session's client itself: `up` shows the session on another terminal and then starts this again.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence

from backend.contract import front_end
from backend.contract.control import CountWork, Reply, SaveWork, WorkAtStake
from backend.contract.events import build
from backend.contract.leaving import Leaving
from backend.contract.paths import Paths
from codetainer_tui import attach, handover, logs, process
from codetainer_tui.ask import ask
from codetainer_tui.state import current
from codetainer_tui.view import stakes
from codetainer_tui.words import harmless

MAX_SILENT = 3  # consecutive ends of input after which the operator is considered gone


def run(paths: Paths, name: str, *, plain: bool, stay: bool, locked: bool) -> int:
    """Shows boot, then the dashboard or text lines, until the operator decides what `up` does next. Returns a Leaving.

    `name` is the sandbox's name; for `locked` see Dashboard. In text mode the operator answers with whole words, to prevent
    mistakes.
    """
    if not attach.begun(paths):
        return Leaving.NO_SESSION
    settings = front_end.read(paths.front_end)
    if not plain and process.on_screen():
        if not stay and settings.login != "dashboard" and handover.lock_is_free(paths) and handover.session_is_there(paths):
            return Leaving.SESSION
        from codetainer_tui import dashboard

        stay = stay or settings.login == "dashboard"
        left = dashboard.run(paths, stay=stay, patience=settings.lock_timeout, of_up=name, locked=locked)
        return Leaving.SESSION if left is None else left
    try:
        if not stay:
            code = attach.lines(paths, settings.lock_timeout)
            if code:
                return Leaving.NO_SESSION
            if process.on_screen():
                return Leaving.SESSION
    except KeyboardInterrupt:
        if not stakes.has_begun(current(paths)):
            return Leaving.INTERRUPTED
    return Plain(paths, name).ask()


class Plain:
    """Asks in lines of text, for terminals without cursor control and for screen readers."""

    def __init__(self, paths: Paths, name: str) -> None:
        self._paths, self._name = paths, name

    def ask(self) -> int:
        """Asks until an answer ends the front end; "stay" follows the journal. Returns a Leaving or an exit code."""
        problem = ""
        left_out: tuple[str, ...] = ()
        silent = 0
        while silent < MAX_SILENT:
            process.write("\n")
            stake = self._stake()
            asks = stakes.question(self._name, stake, current(self._paths), time.time(), left_out=left_out, problem=problem)
            problem, left_out = "", ()
            answers = self._answers(asks)
            lines = [asks.text, *asks.lines, *(f"{word:>8}  {says}" for word, says in answers.items())]
            process.write("".join(f"{harmless(line)}\n" for line in lines) + "Type a word and press enter: ")
            answer = _read()
            silent = silent + 1 if answer is None else 0
            match answer:
                case "stay":
                    self._follow()
                case "session" if "session" in answers:
                    return Leaving.SESSION
                case "save" if asks.save:
                    process.write("codetainer: saving to wip/ ...\n")
                    reply = ask(self._paths.control, SaveWork())
                    left_out = _left_out(reply)
                    if reply.ok and not left_out:
                        return Leaving.STOP
                    problem = "" if reply.ok else reply.text
                case "stop":
                    if asks.drops:
                        ask(self._paths.control, SaveWork(off=True))
                    return Leaving.STOP
        return 128 + 1  # as if ended by SIGHUP

    def _answers(self, asks: stakes.Question) -> dict[str, str]:
        answers = {"stay": "keep the sandbox running; ctrl+c asks again"}
        if process.on_screen() and handover.session_is_there(self._paths):
            answers["session"] = "open the Claude session; ctrl+b d returns here"
        if asks.save:
            answers["save"] = asks.save
        return answers | {"stop": asks.stop}

    def _stake(self) -> WorkAtStake:
        reply = ask(self._paths.control, CountWork())
        with contextlib.suppress(TypeError, ValueError):
            if reply.ok:
                at_stake: WorkAtStake = build(WorkAtStake, reply.data)
                return at_stake
        return WorkAtStake(stakes.last_known(current(self._paths)).repositories, problem=reply.text)

    def _follow(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            logs.logs(self._paths, go_on=True, as_json=False)


def _read() -> str | None:
    """The operator's next line; "" after ctrl+c, None at the end of input."""
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        return ""
    return line.strip().lower() if line else None


def _left_out(reply: Reply) -> tuple[str, ...]:
    value = reply.data.get("left_out")
    names: Sequence[object] = value if isinstance(value, list) else ()
    return tuple(str(name) for name in names)
