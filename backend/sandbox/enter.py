"""`codetainer enter`: runs a command or a shell in a running sandbox, as the agent or as root."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from backend import settings
from backend.agent import agent
from backend.contract.command_line import Parser
from backend.contract.paths import Paths
from backend.contract.verbs import BACKEND_VERBS
from backend.sandbox import inputs, registry, relay
from backend.sandbox.as_agent import FROZEN
from backend.sandbox.options import sandbox_name
from backend.sandbox.registry import DEFAULT_NAME, NoSandbox
from backend.sandbox.relay import Command
from backend.system import AGENT, BASE_ENVIRONMENT, ROOT, Identity, describe

PASSED_ON = ("TERM", "COLORTERM", "NO_COLOR")


def terminal_variables() -> dict[str, str]:
    """The operator's variables that describe the terminal. Apart from settings, no others are passed into a sandbox."""
    here = settings.environment()
    return {name: here[name] for name in PASSED_ON if name in here}


def environment_for(identity: Identity, init: int) -> dict[str, str]:
    """The environment for a command in the sandbox whose first process is `init`. Raises OSError.

    The agent's is the same as in its session, with tokens or placeholders.
    """
    if identity is not AGENT:
        own = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash"}
        return {**BASE_ENVIRONMENT, **terminal_variables(), **own}
    paths = Paths(Path(f"/proc/{init}/root"))
    variables = {}
    for entry in Path(f"/proc/{init}/environ").read_bytes().decode(errors="surrogateescape").split("\0"):
        name, _, value = entry.partition("=")
        variables[name] = f"{paths.root}{value}" if value.startswith(f"{inputs.HANDED_OVER}/") else value
    variables.pop("", None)
    sandbox_settings = settings.load(variables, paths.credentials)
    return {**agent.environment(sandbox_settings, Paths()), **terminal_variables()}


def main(argv: Sequence[str]) -> int:
    own, command = list(argv), []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = Parser(
        prog="codetainer enter", usage="%(prog)s [options] [-- COMMAND ...]",
        description=BACKEND_VERBS["enter"],
    )  # fmt: skip
    parser.add_argument("--name", type=sandbox_name, default=DEFAULT_NAME, help="name of the sandbox (default: %(default)s)")
    parser.add_argument("--root", action="store_true", help="run as root instead of the agent")
    options = parser.parse_args(own)
    identity = ROOT if options.root else AGENT
    try:
        init = registry.find(options.name)
        if identity is AGENT and Paths(Path(f"/proc/{init}/root")).frozen.exists():
            sys.stderr.write(f"codetainer: {FROZEN}\n")
            return 1
        folder = "/" if options.root else "/workspace"
        # root's start-up files would start the login instead of a shell (backend/launchers/login).
        shell = ["bash", "--noprofile", "--norc"] if options.root else ["bash", "-l"]
        return relay.run(Command(init, command or shell, identity, environment_for(identity, init), folder))
    except (NoSandbox, settings.SettingsError) as error:
        sys.stderr.write(f"codetainer: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"codetainer: cannot enter {options.name}: {describe(error)}\n")
        return 1
