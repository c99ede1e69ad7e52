"""Installs the plugins that Claude Code's settings enable, as the agent and in parallel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from backend.agent import agent
from backend.boot.plan import StepSkipped, StepWarned
from backend.context import Boot
from backend.contract.immutable import dataclass

SECONDS = 180.0
# The settings need not declare this marketplace, but it must be added like any other.
OFFICIAL = {"claude-plugins-official": "anthropics/claude-plugins-official"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The plugins to install (PLUGIN@MARKETPLACE) and their marketplaces (arguments of `claude plugin marketplace add`)."""

    plugins: tuple[str, ...]
    marketplaces: tuple[str, ...]


def wanted(settings: Mapping[str, Any]) -> Wanted:
    """Reads settings.json (https://code.claude.com/docs/en/settings: enabledPlugins, extraKnownMarketplaces)."""
    enabled = settings.get("enabledPlugins")
    plugins = [name for name, on in enabled.items() if on is True] if isinstance(enabled, dict) else []
    declared = settings.get("extraKnownMarketplaces")
    sources = dict(OFFICIAL)
    for name, table in declared.items() if isinstance(declared, dict) else ():
        source = table.get("source") if isinstance(table, dict) else None
        if isinstance(source, dict):
            sources[name] = str(source.get("repo") or source.get("url") or source.get("path") or name)
    needed = dict.fromkeys(plugin.rpartition("@")[2] for plugin in plugins)
    return Wanted(tuple(plugins), tuple(sources.get(name, name) for name in needed))


async def run(boot: Boot) -> str:
    enabled = wanted(json.loads(boot.paths.claude_settings.read_text()))
    if not enabled.plugins:
        raise StepSkipped("the settings enable no plugins")
    failed = await _each(boot, ("marketplace", "add"), enabled.marketplaces)
    failed += await _each(boot, ("install",), enabled.plugins)
    missing = await _missing(boot, enabled.plugins)
    for plugin in missing:  # concurrent installs can overwrite each other's entry
        await _each(boot, ("install",), (plugin,))
    missing = await _missing(boot, enabled.plugins) if missing else ()
    if missing:
        raise StepWarned(
            f"not installed: {', '.join(missing)}" + (f" ({failed[0]})" if failed else ""),
            "Check that the marketplace's host is on the allowlist and that the marketplace has the plugin.",
        )
    return ", ".join(enabled.plugins)


async def _each(boot: Boot, verb: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
    """Runs `claude plugin VERB NAME` for all names in parallel; returns the errors of those that failed."""
    runs = [
        agent.run(["claude", "plugin", *verb, "--", name], boot.agent_environment, boot.paths.home, SECONDS / 3)
        for name in names
    ]
    failed = []
    for name, done in zip(names, await asyncio.gather(*runs), strict=True):
        if done.code != 0:
            failed.append(f"{name}: {done.last_line}")
            boot.say("plugins", failed[-1])
    return failed


async def _missing(boot: Boot, plugins: tuple[str, ...]) -> tuple[str, ...]:
    done = await agent.run(["claude", "plugin", "list", "--json"], boot.agent_environment, boot.paths.home, SECONDS / 3)
    try:
        listed = {str(plugin.get("id")) for plugin in done.value()}
    except (ValueError, AttributeError, TypeError):
        listed = set()
    return tuple(plugin for plugin in plugins if plugin not in listed)
