"""Every key there is, once: footer, help and command palette are made from this."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType

from codetainer_tui.dashboard.draw.frame import Key as Shown
from codetainer_tui.view import RefusedLine, View


@dataclass(frozen=True, slots=True)
class Action:
    """`name` is the action's method and what a key is rebound by."""

    name: str
    keys: str
    shown: str
    label: str
    says: str


ACTIONS = (
    Action("open_session", "t", "t", "tmux", "go into the Claude session"),
    Action("choose", "enter", "enter", "details", "read all there is about the selected row"),
    Action(
        "allow", "a", "a", "allow", "allow what the selected row was refused: for an hour, until stopped, or as a line to copy"
    ),
    Action("explain", "e", "e", "explain", "what would happen to it now, and which line decides"),
    Action("mute", "m", "m", "mute", "count the selected name's refusals without showing them"),
    Action("copy", "y", "y", "copy", "copy the selected row"),
    Action("find", "slash", "/", "filter", "show only the refusals that contain a word"),
    Action("refresh", "r", "r", "refresh", "resolve every listed name again"),
    Action("boot_steps", "b", "b", "boot", "show or hide the steps of boot"),
    Action("log", "l", "l", "log", "the journal as text"),
    Action("again", "R", "R", "again", "boot again after a halt, or start an ended session anew"),
    Action("freeze", "F", "F", "freeze", "stop the agent and close every address, or let it go on (asks first)"),
    Action("help", "question_mark", "?", "help", "all keys"),
    Action("leave", "q,ctrl+c", "q", "quit", "leave the dashboard; the sandbox goes on"),
)
MOVES = (
    Action("move(-1)", "up,k", "↑ k", "up", "the row above"),
    Action("move(1)", "down,j", "↓ j", "down", "the row below"),
    Action("move(-10)", "pageup", "page up", "up", "ten rows up"),
    Action("move(10)", "pagedown", "page down", "down", "ten rows down"),
    Action("move(-1000)", "home,g", "g", "first", "the first row"),
    Action("move(1000)", "end,G", "G", "last", "the last row"),
    Action("other_list", "tab", "tab", "list", "the other list: boot steps or refusals"),
    Action("undo", "escape", "esc", "back", "take back a filter"),
)
_BY_NAME = {action.name: action for action in ACTIONS}
BINDINGS: list[BindingType] = [
    Binding(action.keys, action.name, action.label, show=False, tooltip=action.says, id=action.name)
    for action in (*ACTIONS, *MOVES)
]


def _key(name: str, label: str = "") -> Shown:
    action = _BY_NAME[name]
    return action.shown, label or action.label


def footer(view: View, row: RefusedLine | None, *, on_steps: bool) -> list[Shown]:
    """The keys that act on what is selected, the most useful first."""
    found: list[Shown] = []
    if view.halted:
        found += [_key("again", "try again"), _key("choose"), _key("log")]
    elif view.booting:
        found += [_key("choose"), _key("log")]
    else:
        if view.session:
            found.append(_key("open_session"))
        if view.ended:
            found.append(_key("again", "start anew"))
        if view.frozen:
            found.append(_key("freeze", "let go on"))
    if row is not None and not on_steps:
        found += [_key("allow"), _key("explain"), _key("choose"), _key("copy"), _key("mute"), _key("find")]
    if not view.booting and not view.halted:
        found += [_key("boot_steps"), _key("log"), _key("refresh")]
    return list(dict.fromkeys(found))


def leaving(view: View) -> list[Shown]:
    return [("?", "help"), ("q", "leave, boot goes on" if view.booting else "quit")]
