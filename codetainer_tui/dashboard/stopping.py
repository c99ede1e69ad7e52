"""Leaving the dashboard of `codetainer up` stops the sandbox, after a question that lists unsaved work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from backend.contract.control import CountWork, Reply, Request, SaveWork, WorkAtStake
from backend.contract.events import build
from backend.contract.leaving import Leaving
from backend.contract.state import State
from codetainer_tui.ask import ask
from codetainer_tui.dashboard.asking import RECORDING, Asking
from codetainer_tui.dashboard.screens.choice import Answer, ChoiceScreen
from codetainer_tui.dashboard.source import Source
from codetainer_tui.view import Tone, stakes

COUNT_SECONDS = 5.0  # then it asks with the last known count: the agent can make counting slow
DROP_SECONDS = 3.0


class Stopping(Asking):
    """The keys that leave. `of_up` is the name of the sandbox if leaving stops it, otherwise ""."""

    of_up: str
    source: Source
    state: State
    _asks = 0  # number of questions and counts: answers to earlier ones are late

    def leave(self, code: int | None) -> None:
        raise NotImplementedError

    def action_leave(self) -> None:
        if not self.of_up:
            self.leave(0)
        elif not stakes.has_begun(self.state):
            self.leave(Leaving.STOP)
        else:
            self._count()

    def _count(self, problem: str = "", left_out: tuple[str, ...] = ()) -> None:
        """Counts the work at stake and asks. If called again while counting, it asks with the last known count."""
        if not problem and not left_out and self._asks % 2:
            self._ask_about(self._asks, stakes.last_known(self.state))
            return
        self._asks += 1 + self._asks % 2  # odd: counting
        asked = self._asks
        self.say("counting unsaved work …", seconds=COUNT_SECONDS)

        def counted(reply: Reply) -> None:
            stake = WorkAtStake(problem=reply.text)
            with contextlib.suppress(TypeError, ValueError):
                stake = build(WorkAtStake, reply.data) if reply.ok else stake
            self._ask_about(asked, stake, problem, left_out)

        self._beside(CountWork(), counted)
        self.set_timer(COUNT_SECONDS, lambda: self._ask_about(asked, stakes.last_known(self.state), problem, left_out))

    def _ask_about(self, asked: int, stake: WorkAtStake, problem: str = "", left_out: tuple[str, ...] = ()) -> None:
        if asked != self._asks:
            return
        self._asks += 1
        self.say("")
        asks = stakes.question(self.of_up, stake, self.state, self.source.now(), left_out=left_out, problem=problem)
        answers = [Answer("n", "stay", "")]
        if asks.save:
            answers.append(Answer("s", asks.save, "save"))
        answers.append(Answer("y", asks.stop, "stop"))

        def chosen(value: str | None) -> None:
            if value == "save":
                self._save()
            elif value == "stop" and asks.drops:
                self._drop()
            elif value == "stop":
                self.leave(Leaving.STOP)

        self.push_screen(ChoiceScreen(asks.text, tuple(answers), lines=asks.lines), chosen)

    def _save(self) -> None:
        waiting = ChoiceScreen("Saving to wip/ …", (Answer("n", "stay (saving continues)", ""),))
        left = False

        def saved(reply: Reply) -> None:
            if left:
                self.say(reply.text.replace("\n", "; "), Tone.PLAIN if reply.ok else Tone.WARN)
                return
            waiting.dismiss("saved")
            names = reply.data.get("left_out")
            left_out = tuple(str(name) for name in names) if isinstance(names, list) else ()
            if not reply.ok or left_out:
                self._count("" if reply.ok else reply.text, left_out)
            else:
                self.leave(Leaving.STOP)

        def dismissed(value: str | None) -> None:
            nonlocal left
            left = value != "saved"

        self.push_screen(waiting, dismissed)
        self._beside(SaveWork(), saved)

    def _drop(self) -> None:
        """Tells the sandbox that the operator has chosen to lose the work, so that it makes no save at its end, and leaves."""
        self._beside(SaveWork(off=True), lambda _: self.leave(Leaving.STOP))
        self.set_timer(DROP_SECONDS, lambda: self.leave(Leaving.STOP))

    def _beside(self, request: Request, answered: Callable[[Reply], None]) -> None:
        """Asks in a daemon thread, so that leaving does not wait for it: the agent can delay an answer by minutes."""
        paths = self.paths
        if paths is None:
            answered(Reply(False, RECORDING))
            return

        def work() -> None:
            reply = ask(paths.control, request)
            with contextlib.suppress(RuntimeError):  # the dashboard has closed in the meantime
                self.call_later(answered, reply)

        threading.Thread(target=work, daemon=True).start()
