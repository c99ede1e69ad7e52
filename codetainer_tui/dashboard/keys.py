"""The keys of the dashboard. Footer, help and command palette are made from these tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from textual.binding import Binding, BindingType

from backend.contract.immutable import dataclass
from codetainer_tui.dashboard.draw.frame import Key as Shown
from codetainer_tui.dashboard.screens.text import Offer
from codetainer_tui.view import RefusedLine, View

UNLOCK = "ctrl+x"
SERIOUS = (
    "a foreign credential, a push elsewhere, a private or metadata address, a different host on an allowed address, a tunnel "
    "or a scan; shown until you acknowledge it"
)


@dataclass(frozen=True, slots=True)
class Action:
    """An action and its keys. `name` is its method, and its name in dashboard.toml. `of_up`: its help under `codetainer up`."""

    name: str
    keys: str
    shown: str
    label: str
    says: str
    of_up: str = ""


ACTIONS = (
    Action(
        "open_session", "t", "t", "tmux", "open the Claude session",
        of_up="open the Claude session; ctrl+b d returns here",
    ),
    Action(
        "choose", "enter", "enter", "open", "show the details of the selected row; without a row, open the session"
    ),
    Action(
        "allow", "a", "a", "allow",
        "allow the selected refusal: only reading or any request, for an hour, until you close it, or as a line to copy",
    ),
    Action(
        "explain", "e", "e", "explain",
        "show whether the selected refusal would be allowed now, and which line decides; the keys for it work there, too",
    ),
    Action(
        "mute", "m", "m", "mute", "hide the selected name's refusals but keep counting them, or show them again (/ finds them)"
    ),
    Action("acknowledge", "x", "x", "ack", "acknowledge the selected serious refusal, or all of them"),
    Action("budget", "plus", "+", "budget", "add to the model's budget: shows what is used and what it adds, and asks first"),
    Action("copy", "y", "y", "copy", "copy the selected row"),
    Action("find", "slash", "/", "filter", "show only refusals that contain a text"),
    Action("refresh", "r", "r", "refresh", "resolve all names on the allowlist again"),
    Action("boot_steps", "b", "b", "boot", "show or hide the boot steps"),
    Action("log", "l", "l", "log", "show the journal as text"),
    Action("everything", "i", "i", "details", "show everything: services, protections, names allowed by hand, traffic"),
    Action("again", "R", "R", "retry", "retry failed boot steps, or restart Claude (asks first)"),
    Action("shell", "s", "s", "shell", "open a shell in the sandbox, as the user of the dashboard; exit returns here"),
    Action("freeze", "F", "F", "freeze", "freeze the agent and close every address, or thaw it (asks first)"),
    Action("help", "question_mark", "?", "help", "show all keys"),
    Action(
        "leave", "q,ctrl+c", "q", "quit", "leave the dashboard; the sandbox keeps running",
        of_up="stop the sandbox; shows unsaved work and asks first",
    ),
)  # fmt: skip
MOVES = (
    Action("move(-1)", "up,k", "↑ k", "up", "move up one row"),
    Action("move(1)", "down,j", "↓ j", "down", "move down one row"),
    Action("move(-10)", "pageup", "page up", "up", "move up ten rows"),
    Action("move(10)", "pagedown", "page down", "down", "move down ten rows"),
    Action("move(-1000)", "home,g", "g", "first", "go to the first row"),
    Action("move(1000)", "end,G", "G", "last", "go to the last row"),
    Action("other_list", "tab", "tab", "list", "switch between boot steps and refusals"),
    Action("undo", "escape", "esc", "back", "clear the filter"),
    Action("command_palette", "ctrl+p", "ctrl+p", "palette", "find an action by name"),
)
OF_ROOT = frozenset(
    ("allow", "explain", "mute", "acknowledge", "refresh", "again", "freeze", "budget")
)  # over the control socket
READ_ONLY = "READ-ONLY"
READ_ONLY_HELP = (
    "READ-ONLY  only root can allow, explain, mute, acknowledge, refresh, retry, freeze and add to the budget: ask the operator"
)
ROW_KEYS = ("allow", "explain", "choose", "copy", "mute", "find")
BINDINGS: list[BindingType] = [
    Binding(action.keys, action.name, action.label, show=False, tooltip=action.says, id=action.name)
    for action in (*ACTIONS, *MOVES)
]


class Keys:
    """The actions with their keys: `changed` by name, defaults for the others."""

    def __init__(
        self, changed: Mapping[str, str] = MappingProxyType({}), *, of_up: bool = False, read_only: bool = False
    ) -> None:
        """`of_up`: this is the dashboard of `codetainer up`, and leaving it stops the sandbox. `read_only`: not root's."""
        self.changed, self._of_up, self.read_only = changed, of_up, read_only
        self.locked = False  # only UNLOCK works
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
        """Bindings and their keys, for Textual. ctrl+c always leaves."""
        return {name: f"{key},ctrl+c" if name == "leave" else key for name, key in self.changed.items()}

    def shown(self, name: str) -> str:
        """The key of an action, as shown on the screen."""
        return self._by_name[name].shown

    def offer(self, name: str) -> Offer:
        """An action, to be offered on a screen of text."""
        return Offer(*self._key(name), name)

    @property
    def offered(self) -> tuple[Action, ...]:
        """The actions that this user may do."""
        return tuple(action for action in self.actions if self._offers(action.name))

    def _offers(self, name: str) -> bool:
        return not (self.read_only and name in OF_ROOT)

    def helps(self, hint: str) -> bool:
        """False for the hint of a block (`F thaws it`) whose key this user may not use."""
        return all(self._offers(action.name) or hint.split()[0] != action.shown for action in ACTIONS)

    def _key(self, name: str, label: str = "") -> Shown:
        action = self._by_name[name]
        return action.shown, label or action.label

    def footer(self, view: View, row: RefusedLine | None, *, on_steps: bool) -> list[Shown]:
        """The keys that work in this state, the most useful first."""
        if self.locked:
            return [(UNLOCK, "enable keys")]
        keys: list[Shown] = []
        if view.needs_retry:
            keys += [self._key("again"), self._key("choose"), self._key("shell"), self._key("log")]
        elif view.booting:
            keys += [self._key("choose"), self._key("log")]
        else:
            if view.budget_low:
                keys.append(self._key("budget"))
            if view.session:
                keys.append(self._key("open_session"))
            if view.ended:
                keys.append(self._key("again", "restart Claude"))
            elif view.failed:
                keys.append(self._key("again"))
            if view.frozen:
                keys.append(self._key("freeze", "thaw"))
        if row is not None and not on_steps:
            names = ("acknowledge", "freeze", "explain", "choose", "copy", "find") if row.alarm else ROW_KEYS
            keys += [self._key(name) for name in names]
        if not view.booting and not view.needs_retry:
            keys += [self._key(name) for name in ("boot_steps", "log", "everything", "refresh")]
        refused = {self.shown(name) for name in OF_ROOT} if self.read_only else set()
        return [key for key in dict.fromkeys(keys) if key[0] not in refused]

    def leaving(self, view: View) -> list[Shown]:
        """The keys at the end of the footer, which stay on every screen."""
        if self.locked:
            return []
        if self._of_up:
            return [self._key("help"), self._key("leave", "stop")]
        return [self._key("help"), self._key("leave", "quit, boot continues" if view.booting else "quit")]

    def help(self, zone: str) -> list[str]:
        """The lines of the help: all keys, and the words of the headline. `zone`: the time zone of clock times."""
        return [
            *(f"{action.shown:>9}  {action.says}" for action in (*self.offered, *MOVES)), "",
            *([READ_ONLY_HELP, ""] if self.read_only else []),
            "READY      the self-test passed, logins are open",
            "DEGRADED   the protections work, but a service or a boot step failed",
            "CLOSED     nothing can leave the sandbox",
            "FROZEN     an operator stopped the agent; nothing can leave the sandbox",
            f"serious    {SERIOUS}", "",
            f"Clock times are {zone}.", "The bars beside Refused show the last hour, three minutes each.",
        ]  # fmt: skip
