"""The action of each key. Each result is shown at once, on its row or in the notice line."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from backend.contract.control import Budget, Freeze, Refresh, Reply, Request, RestartSession, Retry, Thaw
from backend.contract.events import BootState
from codetainer_tui import handover, process
from codetainer_tui.dashboard.asking import RECORDING
from codetainer_tui.dashboard.row_actions import RowActions
from codetainer_tui.dashboard.screens.choice import Answer, ChoiceScreen
from codetainer_tui.dashboard.screens.log import LogScreen
from codetainer_tui.dashboard.screens.text import TextScreen
from codetainer_tui.dashboard.stopping import Stopping
from codetainer_tui.view import Tone


class Actions(RowActions, Stopping):
    """The half of the dashboard that acts; the other half only shows."""

    coming: deque[str] | None = None

    def log_lines(self) -> list[str]:
        raise NotImplementedError

    # --- the session ---

    def action_open_session(self) -> None:
        paths = self.paths
        if paths is None:
            self.say(RECORDING, Tone.WARN)
        elif handover.inside_tmux():
            self.leave(0)
        elif self.view.frozen and self.of_up:
            text = f"the agent is frozen, and its session with it: press {self.keys.shown('freeze')} to thaw it"
            self.say(text, Tone.WARN, holds=lambda: self.view.frozen)
        elif not self.view.session:
            booting = self.view.booting
            text = "no session yet: it starts when boot has finished" if booting else "there is no session"
            self.say(text, holds=lambda: self.view.booting is booting and not self.view.session)
        else:

            def work() -> None:
                there = handover.session_is_there(paths)
                self.call_from_thread(self._open, there)

            self.run_worker(work, thread=True, exclusive=True, group="session")

    def _open(self, there: bool) -> None:
        if there:
            self.leave(None)
        else:
            self.say("the session has ended or does not answer; R restarts it", Tone.WARN, seconds=3600.0)

    def action_suspend_process(self) -> None:
        """Ignores ctrl+z: over SSH it would leave a raw terminal behind."""

    # --- the cursor and what is under it ---

    def action_move(self, by: int) -> None:
        self.main.move(by, self.now_steady())

    def action_other_list(self) -> None:
        self.main.other_list()

    def action_undo(self) -> None:
        self.main.back()

    def action_choose(self) -> None:
        details = self.main.details()
        if details is not None:
            self.push_screen(TextScreen(*details, self.copy))
        elif self.main.wanted:
            self.say_no_match()
        elif self.view.session:
            self.action_open_session()
        else:
            self.action_everything()

    def action_everything(self) -> None:
        self.push_screen(TextScreen("In full", self.view.full, self.copy))

    def action_copy(self) -> None:
        details = self.main.details()
        self.say(self.copy("\n".join(details[1] if details is not None else self.view.full)))

    def action_find(self) -> None:
        self.main.find()

    # --- the sandbox ---

    def action_refresh(self) -> None:
        self.request(Refresh(), self._show_reply)

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
            if os.geteuid() == 0:
                process.write("codetainer: a shell as root; codetainer as-agent is for the agent's files; exit returns here\n")
            else:
                process.write("codetainer: a shell as the agent; exit returns here\n")
            code = process.run(["/bin/bash", "--norc", "--noprofile", "-i"])
        self.refresh()
        self.say(f"the shell has ended with code {code}" if code else "the shell has ended")

    def action_again(self) -> None:
        if self.view.needs_retry:
            self.request(Retry(), self._show_reply)
        elif self.view.booting:
            self.say("boot is still running", holds=lambda: self.view.booting)
        else:
            self._ask_what_again()

    def _ask_what_again(self) -> None:
        if self.read_only("codetainer retry or codetainer session restart"):
            return
        no = Answer("n", "no", "")
        anew = Answer("s", "restart Claude, and interrupt what it is doing", "session")
        failed = ", ".join(self.view.failed)
        steps = [Answer("t", f"retry what failed: {failed}", "steps")] if failed else []
        answers = (anew, no, *steps) if self.view.ended else (*steps, no, anew)

        def chosen(value: str | None) -> None:
            if value == "session":
                self.request(RestartSession(), self._show_reply)
            elif value == "steps":
                self.request(Retry(), self._show_reply)

        self.push_screen(ChoiceScreen("Retry what?", answers), chosen)

    def action_budget(self) -> None:
        """Asks before it adds to the budget: what is used may have changed since the last event."""

        def replied(reply: Reply) -> None:
            offer = reply.data.get("offer", {})
            if not reply.ok or not offer.get("more"):
                self._show_reply(reply if not reply.ok else Reply(False, "there is no limit to add to (CODETAINER_BUDGET)"))
            elif self.screen is not self.main:
                self.say(f"used: {', '.join(offer['before'])}")  # another question is open
            else:
                self.say("")
                self._ask_for_budget(offer)

        if not self.read_only(Budget("+20").typed()):
            self.request(Budget(), replied)

    def _ask_for_budget(self, offer: Mapping[str, Any]) -> None:
        """`offer` is that of the reply to Budget."""
        before, after, amounts = ", ".join(offer["before"]), ", ".join(offer["after"]), " and ".join(offer["words"])
        answers = (Answer("n", "no", ""), Answer("y", f"add {amounts}: then {after}", str(offer["more"])))

        def replied(reply: Reply) -> None:
            self._show_reply(replace(reply, text=f"added {amounts}: {', '.join(reply.data['limits'])}") if reply.ok else reply)

        def chosen(value: str | None) -> None:
            if value:
                self.request(Budget(value), replied)

        self.push_screen(ChoiceScreen(f"Add {amounts} to the model's budget? Used: {before}.", answers), chosen)

    def action_freeze(self) -> None:
        if self.view.frozen:
            question = "Let the agent continue, and open the allowlist again?"
            self._confirm(question, Thaw(), lambda: not self.view.frozen)
        elif self.state.boot is BootState.HALTED:
            self.say("nothing to freeze: boot has halted, so there is no agent, and every address is closed")
        else:
            question = "Stop the agent, close every address and cut all connections?"
            self._confirm(question, Freeze(), lambda: self.view.frozen)

    def _confirm(self, question: str, request: Request, holds: Callable[[], bool]) -> None:
        """Asks, and sends the request. The reply is shown while `holds` is true."""
        if self.read_only(request.typed()):
            return

        def chosen(value: str | None) -> None:
            if value == "yes":
                self.request(request, lambda reply: self._show_reply(reply, holds))

        self.push_screen(ChoiceScreen(question, (Answer("n", "no", ""), Answer("y", "yes", "yes"))), chosen)

    def action_help(self) -> None:
        self.push_screen(TextScreen("Keys", self.keys.help(self.view.zone), self.copy))
