"""Every key there is, once: footer, help and command palette are made from this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from textual.binding import Binding, BindingType

from codetainer_tui.dashboard.draw.frame import Key as Shown
from codetainer_tui.view import RefusedLine, View

UNLOCK = "ctrl+x"


@dataclass(frozen=True, slots=True)
class Action:
    """`name` is the action's method and what a key is rebound by. `of_up` is what it does under `codetainer up`."""

    name: str
    keys: str
    shown: str
    label: str
    says: str
    of_up: str = ""


ACTIONS = (
    Action(
        "open_session", "t", "t", "tmux", "go into the Claude session",
        of_up="go into the Claude session; ctrl+b d returns here",
    ),
    Action(
        "choose", "enter", "enter", "details", "read all there is about the selected row; where there is none, into the session"
    ),
    Action(
        "allow", "a", "a", "allow", "allow what the selected row was refused: for an hour, until stopped, or as a line to copy"
    ),
    Action("explain", "e", "e", "explain", "what would happen to it now, and which line decides"),
    Action(
        "mute", "m", "m", "mute", "count the selected name's refusals without showing them, or show them again (/ finds them)"
    ),
    Action("acknowledge", "x", "x", "seen", "say that you have seen a serious refusal: the selected one, or all of them"),
    Action("copy", "y", "y", "copy", "copy the selected row"),
    Action("find", "slash", "/", "filter", "show only the refusals that contain a word"),
    Action("refresh", "r", "r", "refresh", "resolve every listed name again"),
    Action("boot_steps", "b", "b", "boot", "show or hide the steps of boot"),
    Action("log", "l", "l", "log", "the journal as text"),
    Action("everything", "i", "i", "in full", "all there is to say: machinery, what was allowed by hand, traffic"),
    Action("again", "R", "R", "again", "try again what failed at boot, or start Claude anew (asks first)"),
    Action("shell", "s", "s", "shell", "a shell in the sandbox, as whom the dashboard runs; its end leads back here"),
    Action("freeze", "F", "F", "freeze", "stop the agent and close every address, or let it go on (asks first)"),
    Action("help", "question_mark", "?", "help", "all keys"),
    Action(
        "leave", "q,ctrl+c", "q", "quit", "leave the dashboard; the sandbox goes on",
        of_up="stop the sandbox; shows unsaved work and asks first",
    ),
)  # fmt: skip
MOVES = (
    Action("move(-1)", "up,k", "↑ k", "up", "the row above"),
    Action("move(1)", "down,j", "↓ j", "down", "the row below"),
    Action("move(-10)", "pageup", "page up", "up", "ten rows up"),
    Action("move(10)", "pagedown", "page down", "down", "ten rows down"),
    Action("move(-1000)", "home,g", "g", "first", "the first row"),
    Action("move(1000)", "end,G", "G", "last", "the last row"),
    Action("other_list", "tab", "tab", "list", "the other list: boot steps or refusals"),
    Action("undo", "escape", "esc", "back", "take back a filter"),
    Action("command_palette", "ctrl+p", "ctrl+p", "palette", "all actions by name"),
)
ROW_KEYS = ("allow", "explain", "choose", "copy", "mute", "find")
BINDINGS: list[BindingType] = [
    Binding(action.keys, action.name, action.label, show=False, tooltip=action.says, id=action.name)
    for action in (*ACTIONS, *MOVES)
]


class Keys:
    """The actions with the keys they have here: `changed` by name, the others as shipped."""

    def __init__(self, changed: Mapping[str, str] = MappingProxyType({}), *, of_up: bool = False) -> None:
        """`of_up`: the dashboard is that of `codetainer up`, whose sandbox ends with it."""
        self.changed, self._of_up = changed, of_up
        self.locked = False  # no key does anything but UNLOCK
        self.actions = tuple(
            replace(
                action,
                shown=changed.get(action.name, action.shown),
                says=action.of_up if of_up and action.of_up else action.says,
            )
            for action in ACTIONS
        )
        self._by_name = {action.name: action for action in self.actions}

    @property
    def keymap(self) -> dict[str, str]:
        """As Textual takes it: binding -> keys. ctrl+c leaves whatever else does."""
        return {name: f"{key},ctrl+c" if name == "leave" else key for name, key in self.changed.items()}

    def shown(self, name: str) -> str:
        """An action's key, as it is written."""
        return self._by_name[name].shown

    def _key(self, name: str, label: str = "") -> Shown:
        action = self._by_name[name]
        return action.shown, label or action.label

    def footer(self, view: View, row: RefusedLine | None, *, on_steps: bool) -> list[Shown]:
        """The keys that act on what is selected, the most useful first."""
        if self.locked:
            return [(UNLOCK, "enable keys")]
        found: list[Shown] = []
        if view.halted:
            found += [self._key("again", "try again"), self._key("choose"), self._key("shell"), self._key("log")]
        elif view.booting:
            found += [self._key("choose"), self._key("log")]
        else:
            if view.session:
                found.append(self._key("open_session"))
            if view.ended:
                found.append(self._key("again", "start anew"))
            elif view.failed:
                found.append(self._key("again", "try again"))
            if view.frozen:
                found.append(self._key("freeze", "let go on"))
        if row is not None and not on_steps:
            names = ("acknowledge", "freeze", "explain", "choose", "copy", "find") if row.alarm else ROW_KEYS
            found += [self._key(name) for name in names]
        if not view.booting and not view.halted:
            found += [self._key(name) for name in ("boot_steps", "log", "everything", "refresh")]
        return list(dict.fromkeys(found))

    def leaving(self, view: View) -> list[Shown]:
        if self.locked:
            return []
        if self._of_up:
            return [self._key("help"), self._key("leave", "stop")]
        return [self._key("help"), self._key("leave", "leave, boot goes on" if view.booting else "quit")]

    def help(self, zone: str) -> list[str]:
        """All keys, a line each, and what the words of the first line mean. `zone` is the time zone of clock times."""
        return [
            *(f"{action.shown:>9}  {action.says}" for action in (*self.actions, *MOVES)), "",
            "READY      the walls hold and the agent is let in",
            "DEGRADED   the walls hold, something else does not",
            "CLOSED     nothing can leave",
            "serious    refused, and no matter of the list: somebody else's credential, a write elsewhere, a private or",
            "           metadata address, another site, a tunnel, a scan; it stays until it is acknowledged", "",
            f"Clock times are {zone}.", "The bars beside Refused are the last hour, three minutes each.",
        ]  # fmt: skip
