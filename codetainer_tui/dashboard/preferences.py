"""The operator's settings for the dashboard in `/opt/codetainer/dashboard.toml`: keys by name, and notifications."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from backend.contract.immutable import dataclass
from codetainer_tui.dashboard.keys import ACTIONS, MOVES
from codetainer_tui.dashboard.notify import Notify

# A letter, a digit, or a key name of Textual.
_KEY = re.compile(
    r"([A-Za-z0-9]|(ctrl\+|shift\+|alt\+)?(f[1-9][0-2]?|[a-z]|enter|space|tab|escape|home|end|pageup|pagedown))\Z"
)
RESERVED = {"ctrl+b": "it is the tmux prefix", "ctrl+c": "it always leaves", "ctrl+z": "it would leave a raw terminal behind"}


class PreferencesError(ValueError):
    """All problems of the file, in one message."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """The settings. `keys` has the keys that differ from the defaults, by action."""

    notify: Notify = Notify.BLUR
    keys: Mapping[str, str] = field(default_factory=dict)


def load(path: Path) -> Preferences:
    """Returns the preferences in the file, or the defaults if it does not exist. Raises PreferencesError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Preferences()
    except (OSError, UnicodeError) as error:
        raise PreferencesError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from error
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PreferencesError(f"{path.name}: {error}") from error
    problems = [f"unknown setting {name!a}, expected notify or [keys]" for name in body if name not in ("notify", "keys")]
    notify = body.get("notify", Notify.BLUR)
    if notify not in tuple(Notify):
        problems.append(f"notify is {notify!a}, expected {', '.join(Notify)}")
    keys = body.get("keys", {})
    if not isinstance(keys, dict):
        problems.append("keys: expected a table [keys] of action = key")
        keys = {}
    problems += _wrong_keys(keys)
    if problems:
        raise PreferencesError(f"{path.name}: {'; '.join(problems)}")
    return Preferences(Notify(notify), keys)


def _wrong_keys(keys: Mapping[str, object]) -> list[str]:
    names = {action.name for action in ACTIONS}
    problems: list[str] = []
    wrong: set[str] = set()
    for name, key in keys.items():
        before = len(problems)
        if name not in names:
            problems.append(f"unknown action {name!a}, expected one of {', '.join(sorted(names))}")
        elif not isinstance(key, str) or not _KEY.match(key):
            problems.append(f"{name} = {key!a}: expected a letter, a digit, or a key name such as f5 or ctrl+o")
        elif key in RESERVED:
            problems.append(f"{name} = {key!a}: reserved, {RESERVED[key]}")
        wrong |= {name} if len(problems) > before else set()
    owners: dict[str, str] = {}
    for action in (*ACTIONS, *MOVES):
        own = "" if action.name in wrong else keys.get(action.name)
        assigned = str(own or action.shown if action in ACTIONS else action.keys)
        for key in assigned.split(","):
            if key in owners:
                problems.append(f"{key} is assigned to both {owners[key]} and {action.name}")
            owners[key] = action.name
    return problems
