"""What the keys do that act on the selected row: allow it, explain it, count it without showing it."""

from __future__ import annotations

from backend.contract import shell
from backend.contract.control import Allow, Explain, Mute, Reply, Revoke
from codetainer_tui.dashboard.asking import Asking
from codetainer_tui.dashboard.screens.choice import Answer, ChoiceScreen
from codetainer_tui.dashboard.screens.text import TextScreen
from codetainer_tui.view import RefusedLine, Tone

HOUR = 3600.0


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

        self.push_screen(ChoiceScreen(f"Allow {row.entry}", tuple(answers)), chosen)

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

        off = ("--off",) if row.muted else ()
        request = Mute(row.muted_as, off=row.muted)
        self.request(request, shell.command("codetainer", "mute", row.muted_as, *off), said, row.key)
