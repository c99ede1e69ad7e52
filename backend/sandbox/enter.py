"""`codetainer enter`: a command, or a shell, in a running sandbox, as the agent or as root."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from backend import settings
from backend.agent import agent
from backend.contract.command_line import Parser
from backend.contract.paths import Paths
from backend.sandbox import inputs, registry, relay
from backend.sandbox.as_agent import FROZEN
from backend.sandbox.options import sandbox_name
from backend.sandbox.registry import NoSandbox
from backend.sandbox.relay import Command
from backend.system import AGENT, BASE_ENVIRONMENT, ROOT, Identity, describe

PASSED_ON = ("TERM", "COLORTERM", "NO_COLOR")


def terminal_variables() -> dict[str, str]:
    """All that goes into a sandbox of the operator's environment, the settings aside: what describes the terminal."""
    here = settings.environment()
    return {name: here[name] for name in PASSED_ON if name in here}


def environment_for(identity: Identity, init: int) -> dict[str, str]:
    """What a command gets in the sandbox whose first process is `init`: the agent's, what its session has. Raises OSError."""
    if identity is not AGENT:
        own = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash"}
        return {**BASE_ENVIRONMENT, **terminal_variables(), **own}
    there = Paths(Path(f"/proc/{init}/root"))
    variables = {}
    for variable in Path(f"/proc/{init}/environ").read_bytes().decode(errors="surrogateescape").split("\0"):
        name, _, value = variable.partition("=")
        variables[name] = f"{there.root}{value}" if value.startswith(f"{inputs.HANDED_OVER}/") else value
    variables.pop("", None)
    sandbox_settings = settings.load(variables, there.credentials)
    return {**agent.environment(sandbox_settings, Paths()), **terminal_variables()}


def main(argv: Sequence[str]) -> int:
    own, command = list(argv), []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = Parser(
        prog="codetainer enter", usage="%(prog)s [options] [-- COMMAND ...]",
        description="Run a command in a running sandbox, or a shell, and exit with its code.",
    )  # fmt: skip
    parser.add_argument("--name", type=sandbox_name, default="sandbox", help="which sandbox (default: %(default)s)")
    parser.add_argument("--root", action="store_true", help="as root instead of the agent")
    options = parser.parse_args(own)
    identity = ROOT if options.root else AGENT
    try:
        init = registry.find(options.name)
        if identity is AGENT and Paths(Path(f"/proc/{init}/root")).frozen.exists():
            sys.stderr.write(f"codetainer: {FROZEN}\n")
            return 1
        folder = "/" if options.root else "/workspace"
        # root's own start-up files make a shell the login (backend/launchers/login).
        shell = ["bash", "--noprofile", "--norc"] if options.root else ["bash", "-l"]
        return relay.run(Command(init, command or shell, identity, environment_for(identity, init), folder))
    except (NoSandbox, settings.SettingsError) as error:
        sys.stderr.write(f"codetainer: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"codetainer: cannot enter {options.name}: {describe(error)}\n")
        return 1
