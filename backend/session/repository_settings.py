"""The repository's settings for Claude Code that stand in the way of unattended work, and the settings without them.

Source: https://code.claude.com/docs/en/settings, and trials with 2.1.197 and 2.1.332. Modes such as `defaultMode: plan` and
`disableAllHooks` are not listed: the command line and the managed settings outrank them.

Claude Code itself reports what is invalid (backend/session/beginning.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from backend import system
from backend.contract.immutable import dataclass
from backend.contract.paths import Paths
from backend.session.reports import read_report
from backend.settings.values import Override
from backend.system import AGENT

FILES = (".claude/settings.json", ".claude/settings.local.json")  # the second one outranks the first
MAX_BYTES = 1 << 20
MAX_LEVELS = 64  # of nesting
MAX_SHOWN = 80  # characters of a value

# The variables that send Claude Code elsewhere, or with another credential, than the sandbox provides for.
VARIABLES = (
    "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy",
)  # fmt: skip
BYPASS, ASK, HELPER, SANDBOX = "disableBypassPermissionsMode", "ask", "apiKeyHelper", "failIfUnavailable"


def read(paths: Paths) -> dict[str, dict[str, Any]]:
    """The repository's settings by file. Leaves out missing, malformed and deeply nested files."""
    found = {}
    for name in FILES:
        try:
            body = json.loads(read_report(paths.repository / name, AGENT, MAX_BYTES))
        except (ValueError, RecursionError):
            continue
        if isinstance(body, dict) and _is_shallow(body):
            found[name] = body
    return found


def _is_shallow(value: object, levels: int = MAX_LEVELS) -> bool:
    """True if a value is not nested deeply. The functions below are recursive."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_is_shallow(item, levels - 1) for item in inner)
    return True


@dataclass(frozen=True, slots=True)
class Hindrance:
    """A setting that stands in the way. The repository can influence `setting`."""

    file: str
    setting: str
    consequence: str


def hindrances(settings: Mapping[str, Mapping[str, Any]]) -> tuple[Hindrance, ...]:
    """The settings that stand in the way, by file."""
    return tuple(Hindrance(name, *found) for name, body in settings.items() for found in _of(body))


def _of(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings of one file that stand in the way, each with its consequence."""
    permissions, sandbox = _table(body, "permissions"), _table(body, "sandbox")
    if permissions.get(BYPASS) == "disable":
        yield f"permissions.{BYPASS}", "forbids bypass mode: Claude asks before each tool call and waits"
    if rules := permissions.get(ASK):
        yield f"permissions.{ASK} {_shown(rules)}", "holds in bypass mode, too: Claude asks before these tool calls and waits"
    for variable in _table(body, "env"):  # a value may be a secret, and is not shown
        if variable in VARIABLES:
            yield f"env.{variable}", "replaces the sandbox's: Claude Code might not reach its API"
    if HELPER in body:
        yield HELPER, "replaces the sandbox's credential: the gate refuses any other"
    if sandbox.get("enabled") and sandbox.get(SANDBOX):
        yield f"sandbox.{SANDBOX}", "ends Claude Code: its own sandbox cannot start inside this one"


def described(found: tuple[Hindrance, ...], override: Override) -> tuple[str, ...]:
    """The lines for the operator."""
    if not found:
        return ()
    if override is Override.ON:
        return tuple(f"{one.file}: {one.setting} is not used, because CODETAINER_CLAUDE_OVERRIDE is on" for one in found)
    lines = (f"{one.file}: {one.setting} {one.consequence}" for one in found)
    return (*lines, "Set CODETAINER_CLAUDE_OVERRIDE=on to start Claude without these settings.")


def prepare(paths: Paths, override: Override) -> tuple[str, ...]:
    """Before a start of Claude: replaces the repository's settings if they stand in the way and are not to be used.

    Returns the lines for the operator. Raises SystemFailure.
    """
    settings = read(paths)
    found = hindrances(settings)
    if found and override is Override.ON:
        system.write(paths.claude_repository, json.dumps(without(settings), indent=2) + "\n")
    else:
        paths.claude_repository.unlink(missing_ok=True)
    return described(found, override)


def without(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All settings of the repository, merged as Claude Code does, without those that stand in the way."""
    merged: dict[str, Any] = {}
    for body in settings.values():
        merged = _merged(merged, body)
    for table, keys in (("permissions", (BYPASS, ASK)), ("env", VARIABLES), ("sandbox", (SANDBOX,))):
        if table in merged:
            merged[table] = {key: value for key, value in _table(merged, table).items() if key not in keys}
    merged.pop(HELPER, None)
    return merged


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged, lists joined, and of other values the second counts."""
    merged = dict(one)
    for key, value in other.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            known = {json.dumps(item, sort_keys=True) for item in before}
            merged[key] = [*before, *(item for item in value if json.dumps(item, sort_keys=True) not in known)]
        else:
            merged[key] = value
    return merged


def _table(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
