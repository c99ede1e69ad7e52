"""What the keys do that act on the selected row: allow it, explain it, count it without showing it."""

from __future__ import annotations

from backend.contract import shell
from backend.contract.control import Acknowledge, Allow, Explain, Mute, Reply, Revoke
from backend.contract.refusals import Severity
from codetainer_tui.dashboard.asking import Asking
from codetainer_tui.dashboard.screens.choice import Answer, ChoiceScreen
from codetainer_tui.dashboard.screens.text import TextScreen
from codetainer_tui.lookalike import resembles
from codetainer_tui.view import RefusedLine, Tone
from codetainer_tui.words import harmless

HOUR = 3600.0
NO = "no"  # an answer; "" is all of them


class RowActions(Asking):
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
        if row.opened_by:
            answers.append(Answer("c", "close it again, and cut what it carries", "close"))

        def chosen(value: str | None) -> None:
            port = ("--port", row.ports) if row.ports else ()
            allow = shell.command("codetainer", "allow", row.name, *port)
            told = self._told_row(row.key)
            if value == "hour":
                self.request(Allow(row.name, row.ports, HOUR), f"{allow} --for 1h", told, row.key)
            elif value == "always":
                self.request(Allow(row.name, row.ports), allow, told, row.key)
            elif value == "close":
                self.request(Revoke(row.opened_by), shell.command("codetainer", "revoke", row.opened_by), told, row.key)
            elif value == "line":
                self.say(self.copy(row.entry))

        looks = resembles(row.name, self.view.listed)
        warning = f", which looks like {harmless(looks, 80)}, which is listed" if looks else ""
        warning += f", refused as serious: {row.why}" if row.alarm else ""
        self.push_screen(ChoiceScreen(f"Allow {row.entry}{warning}", tuple(answers)), chosen)

    def action_acknowledge(self) -> None:
        row, view = self.main.row, self.view
        if not view.alarms:
            self.say("there is nothing serious that is not acknowledged")
            return
        every = Answer("a", f"all: {view.alarm_summary}", "")
        mine = [Answer("t", f"this: {row.what}, {row.why}", row.acknowledged_as)] if row is not None and row.alarm else []

        def chosen(value: str | None) -> None:
            if value is not None and value != NO:
                self.request(Acknowledge(view.updated_at, value), "codetainer acknowledge", self._told)

        self.push_screen(ChoiceScreen("You have seen", (*mine, every, Answer("n", "no", NO)), nothing=NO), chosen)

    def action_explain(self) -> None:
        row = self._row()
        if row is not None and not row.muted_as:
            self.say(row.cannot, Tone.WARN)
        elif row is not None:
            target = row.target

            def said(reply: Reply) -> None:
                self.say("")
                if reply.ok:
                    # First why this was refused: what is true of the name now may be something else.
                    lines = (*row.full, "", "Now:", *reply.text.splitlines())
                    self.push_screen(TextScreen(row.what, lines, self.copy))
                else:
                    self._told(reply)

            self.request(Explain(target), shell.command("codetainer", "explain", target), said)

    def action_mute(self) -> None:
        row = self._row()
        if row is None:
            return
        if row.severity is Severity.SERIOUS:
            key = self.keys.shown("acknowledge")
            self.say(f"what is serious is never muted; {key} acknowledges it", Tone.WARN)
            return
        if not row.muted_as:
            self.say(row.cannot, Tone.WARN)
            return

        def said(reply: Reply) -> None:
            self._told_row(row.key)(reply)
            if reply.ok and not row.muted:
                self.say(
                    f"{reply.text}; {self.keys.shown('find')} finds it by its name, {self.keys.shown('mute')} shows it again"
                )

        off = ("--off",) if row.muted else ()
        request = Mute(row.muted_as, off=row.muted)
        self.request(request, shell.command("codetainer", "mute", row.muted_as, *off), said, row.key)
