"""What each key does. Every effect shows at once, on the row it concerns or in the notice line."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable

from textual.app import App

from backend.contract.control import (
    Allow,
    Explain,
    Freeze,
    Mute,
    Refresh,
    Reply,
    Request,
    RestartSession,
    Retry,
    Revoke,
    Thaw,
)
from backend.contract.paths import Paths
from codetainer_tui import handover, process
from codetainer_tui.ask import ask
from codetainer_tui.dashboard import copied
from codetainer_tui.dashboard.keys import Keys
from codetainer_tui.dashboard.screens.choice import Answer, ChoiceScreen
from codetainer_tui.dashboard.screens.log import LogScreen
from codetainer_tui.dashboard.screens.main import MainScreen
from codetainer_tui.dashboard.screens.text import TextScreen
from codetainer_tui.view import RefusedLine, Tone, View

HOUR = 3600.0
RECORDING = "this is a recording: nothing can be asked of it"


class Actions(App[None]):
    """The half of the dashboard that does something; the other half shows."""

    main: MainScreen
    keys: Keys
    view: View
    paths: Paths | None
    coming: deque[str] | None = None

    def say(self, text: str, tone: Tone = Tone.PLAIN, *, seconds: float = 8.0) -> None:
        raise NotImplementedError

    def pend(self, key: str, text: str, *, seconds: float = 60.0) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        raise NotImplementedError

    def log_lines(self) -> list[str]:
        raise NotImplementedError

    def leave(self, code: int | None) -> None:
        raise NotImplementedError

    def now_steady(self) -> float:
        return time.monotonic()

    # --- asking ---

    def request(self, request: Request, typed: str, said: Callable[[Reply], None], row: str = "") -> None:
        """Asks the sandbox in a thread: a boot that is tried again takes its time."""
        paths = self.paths
        if paths is None:
            self.say(RECORDING, Tone.WARN)
            return
        if row:
            self.pend(row, "asking …")
        else:
            self.say("asking …")

        def work() -> None:
            reply = ask(paths.control, request, typed)
            self.call_from_thread(said, reply)

        self.run_worker(work, thread=True, group=typed)

    def _told(self, reply: Reply) -> None:
        text = reply.text if reply.ok or not reply.hint else f"{reply.text}: {reply.hint}"
        self.say(text or "done", Tone.PLAIN if reply.ok else Tone.WARN)

    def _told_row(self, row: str) -> Callable[[Reply], None]:
        def told(reply: Reply) -> None:
            # What was done stands in the journal already, and then on the row.
            self.pend(row, "" if reply.ok else reply.text, seconds=10.0)
            self.tick()
            self._told(reply)

        return told

    # --- the session, and leaving ---

    def action_open_session(self) -> None:
        paths = self.paths
        if paths is None:
            self.say(RECORDING, Tone.WARN)
        elif handover.inside_tmux():
            self.leave(0)
        elif not self.view.session:
            self.say("there is no session yet: it is opened when boot is over" if self.view.booting else "there is no session")
        else:

            def work() -> None:
                there = handover.session_is_there(paths)
                self.call_from_thread(self._open, there)

            self.run_worker(work, thread=True, exclusive=True, group="session")

    def _open(self, there: bool) -> None:
        if there:
            self.leave(None)
        else:
            self.say("the session is gone: R starts it anew", Tone.WARN, seconds=3600.0)

    def action_leave(self) -> None:
        self.leave(0)

    def action_suspend_process(self) -> None:
        """Not this: over SSH it leaves a raw terminal behind (ctrl+z)."""

    # --- the cursor and what is under it ---

    def action_move(self, by: int) -> None:
        self.main.move(by, self.now_steady())

    def action_other_list(self) -> None:
        self.main.other_list()

    def action_undo(self) -> None:
        self.main.back()

    def action_choose(self) -> None:
        found = self.main.details()
        if found is not None:
            self.push_screen(TextScreen(*found, self.copy))
        elif self.view.session:
            self.action_open_session()
        else:
            self.action_everything()

    def action_everything(self) -> None:
        self.push_screen(TextScreen("In full", self.view.full, self.copy))

    def _row(self) -> RefusedLine | None:
        row = self.main.row
        if row is None:
            self.say("nothing matches the filter" if self.main.wanted else "nothing was refused")
        return row

    def action_allow(self) -> None:
        row = self._row()
        if row is None:
            return
        if row.cannot:
            self.say(f"cannot allow {row.what}: {row.cannot}", Tone.WARN)
            return
        answers = [
            Answer("h", "for an hour", "hour"), Answer("s", "until it is stopped", "always"),
            Answer("l", f"copy the line for domains.conf: {row.entry}", "line"),
        ]  # fmt: skip
        if row.why.startswith("allowed"):
            answers.append(Answer("c", "close it again, and cut what it carries", "close"))

        def chosen(value: str | None) -> None:
            port = f" --port {row.ports}" if row.ports else ""
            told = self._told_row(row.key)
            if value == "hour":
                self.request(Allow(row.name, row.ports, HOUR), f"codetainer allow {row.name}{port} --for 1h", told, row.key)
            elif value == "always":
                self.request(Allow(row.name, row.ports), f"codetainer allow {row.name}{port}", told, row.key)
            elif value == "close":
                self.request(Revoke(row.name), f"codetainer revoke {row.name}", told, row.key)
            elif value == "line":
                self.say(self.copy(row.entry))

        self.push_screen(ChoiceScreen(f"Allow {row.entry}", tuple(answers)), chosen)

    def action_explain(self) -> None:
        row = self._row()
        if row is not None and not row.muted_as:
            self.say(row.cannot, Tone.WARN)
        elif row is not None:
            target = row.name or row.what.split("  ")[0]

            def said(reply: Reply) -> None:
                self.say("")
                if reply.ok:
                    self.push_screen(TextScreen(target, reply.text.splitlines(), self.copy))
                else:
                    self._told(reply)

            self.request(Explain(target), f"codetainer explain {target}", said)

    def action_mute(self) -> None:
        row = self._row()
        if row is not None and not row.muted_as:
            self.say(row.cannot, Tone.WARN)
        if row is None or not row.muted_as:
            return

        def said(reply: Reply) -> None:
            self._told_row(row.key)(reply)
            if reply.ok and not row.muted:
                self.say(
                    f"{reply.text}; {self.keys.shown('find')} finds it by its name, {self.keys.shown('mute')} shows it again"
                )

        off = " --off" if row.muted else ""
        request = Mute(row.muted_as, -1.0 if row.muted else 0.0)
        self.request(request, f"codetainer mute {row.muted_as}{off}", said, row.key)

    def action_copy(self) -> None:
        found = self.main.details()
        self.say(self.copy("\n".join(found[1] if found is not None else self.view.full)))

    def copy(self, text: str) -> str:
        """Copies by way of the terminal, or into a file where that is too long; says what came of it."""
        if len(text.encode()) > copied.MOST_COPIED:
            return copied.to_file(text)
        self.copy_to_clipboard(text)
        return copied.said(text)

    def action_find(self) -> None:
        self.main.find()

    # --- the sandbox ---

    def action_refresh(self) -> None:
        self.request(Refresh(), "codetainer refresh", self._told)

    def action_boot_steps(self) -> None:
        self.main.show_steps = not self.main.steps_shown
        self.main.other_list() if self.main.on_steps is not self.main.show_steps else self.main.draw()

    def action_log(self) -> None:
        coming: deque[str] = deque(maxlen=5000)
        self.coming = coming

        def closed(_: None) -> None:
            self.coming = None

        self.push_screen(LogScreen(self.log_lines(), coming, self.copy), closed)

    def action_shell(self) -> None:
        if self.paths is None:
            self.say(RECORDING, Tone.WARN)
            return
        with self.suspend():
            process.write(f"codetainer: a shell as {'root' if os.geteuid() == 0 else 'the agent'}; exit leads back\n")
            code = process.run(["/bin/bash", "--norc", "--noprofile", "-i"])
        self.refresh()
        self.say(f"the shell has ended with code {code}" if code else "the shell has ended")

    def action_again(self) -> None:
        if self.view.halted:
            self.request(Retry(), "codetainer retry", self._told)
        elif self.view.booting:
            self.say("boot is under way")
        else:
            self._ask_what_again()

    def _ask_what_again(self) -> None:
        no = Answer("n", "no", "")
        anew = Answer("s", "start Claude anew: what it does now is broken off", "session")
        failed = ", ".join(self.view.failed)
        steps = [Answer("t", f"try again what failed: {failed}", "steps")] if failed else []
        answers = (anew, no, *steps) if self.view.ended else (*steps, no, anew)

        def chosen(value: str | None) -> None:
            if value == "session":
                self.request(RestartSession(), "codetainer session restart", self._told)
            elif value == "steps":
                self.request(Retry(), "codetainer retry", self._told)

        self.push_screen(ChoiceScreen("Again?", answers), chosen)

    def action_freeze(self) -> None:
        if self.view.frozen:
            self._confirm("Let the agent go on, and open the list again?", Thaw(), "codetainer thaw")
        else:
            self._confirm("Stop the agent, close every address and cut all flows?", Freeze(), "codetainer freeze")

    def _confirm(self, question: str, request: Request, typed: str) -> None:
        def chosen(value: str | None) -> None:
            if value == "yes":
                self.request(request, typed, self._told)

        self.push_screen(ChoiceScreen(question, (Answer("n", "no", ""), Answer("y", "yes", "yes"))), chosen)

    def action_help(self) -> None:
        self.push_screen(TextScreen("Keys", self.keys.help(self.view.zone), self.copy))
