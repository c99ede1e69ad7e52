"""The actions on the selected row: allow, explain, mute and acknowledge."""

from __future__ import annotations

from dataclasses import replace

from backend.contract import durations
from backend.contract.control import Acknowledge, Allow, Explain, Mute, Reply, Revoke
from backend.contract.refusals import Severity
from codetainer_tui.dashboard.asking import Asking
from codetainer_tui.dashboard.screens.choice import Answer, ChoiceScreen
from codetainer_tui.dashboard.screens.text import TextScreen
from codetainer_tui.lookalike import resembles
from codetainer_tui.refusal import READ
from codetainer_tui.view import RefusedLine, Tone
from codetainer_tui.words import harmless

NO = "no"  # declines; "" acknowledges everything


class RowActions(Asking):
    def _row(self) -> RefusedLine | None:
        row = self.main.row
        if row is None and self.main.wanted:
            self.say_no_match()
        elif row is None:
            self.say("nothing has been refused", holds=lambda: self.main.row is None)
        return row

    def say_no_match(self) -> None:
        wanted = self.main.wanted
        self.say("no refusal matches the filter", holds=lambda: self.main.wanted == wanted and self.main.row is None)

    def action_allow(self) -> None:
        row = self._row()
        if row is not None:
            self._allow(row)

    def _allow(self, row: RefusedLine) -> None:
        if row.cannot:
            self.say(f"cannot allow {row.what}: {row.cannot}", Tone.WARN)
            return
        reads = row.grant == READ
        least = Allow(row.name, row.ports, durations.HOUR, read=reads, grant="" if reads else row.grant)
        if self.read_only(least.typed()):
            return
        only = "reading" if reads else row.grant
        limited = [Answer("r", f"only {only}, for an hour", "least"), Answer("u", f"only {only}, until I close it", "less")]
        any_request = " any request" if row.grant else ""
        answers = [
            *(limited if row.grant else []),
            Answer("h", f"{any_request}{',' * bool(row.grant)} for an hour".strip(), "hour"),
            Answer("s", f"{any_request}{',' * bool(row.grant)} until I close it".strip(), "always"),
            Answer("l", f"copy the line for domains.conf: {row.entry}", "line"),
        ]
        if row.opened_by:
            answers.append(Answer("c", "close it and drop its connections", "close"))

        def chosen(value: str | None) -> None:
            requests = {
                "least": least,
                "less": replace(least, seconds=None),
                "hour": Allow(row.name, row.ports, durations.HOUR),
                "always": Allow(row.name, row.ports),
                "close": Revoke(row.opened_by),
            }
            if value in requests:
                self.request(requests[value], self._show_on_row(row.key), row.key)
            elif value == "line":
                self.say(self.copy(row.entry))

        looks = resembles(row.name, self.view.listed)
        warnings = (
            f" It looks like the allowed name {harmless(looks, 80)}." if looks else "",
            f" Serious: {row.why}." if row.alarm else "",
        )
        what = f"{row.name}:{row.ports}" if row.ports else row.name
        self.push_screen(ChoiceScreen(f"Allow {what}?{''.join(warnings)}", tuple(answers)), chosen)

    def action_acknowledge(self) -> None:
        self._acknowledge(self.main.row)

    def _acknowledge(self, row: RefusedLine | None) -> None:
        view = self.view
        if not view.alarms:
            self.say("no unacknowledged serious refusals")
            return
        if self.read_only(Acknowledge(view.updated_at).typed()):
            return
        every = Answer("a", f"all serious refusals: {view.alarm_summary}", "")
        mine = [Answer("t", f"this one: {row.what}, {row.why}", row.acknowledged_as)] if row is not None and row.alarm else []

        def chosen(value: str | None) -> None:
            if value is not None and value != NO:
                self.request(Acknowledge(view.updated_at, value), self._show_reply)

        self.push_screen(ChoiceScreen("Acknowledge?", (*mine, every, Answer("n", "no", NO)), nothing=NO), chosen)

    def action_explain(self) -> None:
        """Explains the selected refusal, and offers what can be done about it."""
        row = self._row()
        if row is None:
            return
        if not row.muted_as:
            self.say(row.cannot, Tone.WARN)
            return
        actions = {"allow": self._allow, "acknowledge": self._acknowledge, "mute": self._mute}
        possible = {"allow": not row.cannot, "acknowledge": row.alarm, "mute": row.severity is not Severity.SERIOUS}

        def chosen(name: str | None) -> None:
            if name is not None:
                actions[name](next((one for one in self.view.refused if one.key == row.key), row))

        def answered(reply: Reply) -> None:
            self.say("")
            if reply.ok:
                # The reason of this refusal comes first: the name may be treated differently now.
                lines = (*row.full, "", "Now:", *reply.text.splitlines())
                offers = [self.keys.offer(name) for name, can in possible.items() if can]
                self.push_screen(TextScreen(row.what, lines, self.copy, offers), chosen)
            else:
                self._show_reply(reply)

        self.request(Explain(row.target), answered)

    def action_mute(self) -> None:
        row = self._row()
        if row is not None:
            self._mute(row)

    def _mute(self, row: RefusedLine) -> None:
        if row.severity is Severity.SERIOUS:
            key = self.keys.shown("acknowledge")
            self.say(f"serious refusals cannot be muted; {key} acknowledges them", Tone.WARN)
            return
        if not row.muted_as:
            self.say(row.cannot, Tone.WARN)
            return

        def answered(reply: Reply) -> None:
            self._show_on_row(row.key)(reply)
            if reply.ok and not row.muted:
                self.say(f"{reply.text}; to undo, find it with {self.keys.shown('find')} and press {self.keys.shown('mute')}")

        self.request(Mute(row.muted_as, off=row.muted), answered, row.key)
