"""`codetainer enter`: a command, or a shell, in a running sandbox, as the agent or as root."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from backend import settings
from backend.sandbox import relay, rendezvous
from backend.sandbox.rendezvous import NoSandbox
from backend.system import AGENT, BASE_ENVIRONMENT, ROOT, Identity

PASSED_ON = ("TERM", "COLORTERM", "NO_COLOR")


def environment_for(identity: Identity) -> dict[str, str]:
    """What a command gets: nothing of the operator's but what describes the terminal."""
    here = settings.environment()
    found = {**BASE_ENVIRONMENT, **{name: here[name] for name in PASSED_ON if name in here}}
    if identity is AGENT:
        return {**found, "HOME": "/home/claude", "USER": "claude", "LOGNAME": "claude", "SHELL": "/bin/bash",
                "GH_CONFIG_DIR": "/opt/gh-config", "GIT_TERMINAL_PROMPT": "0",
                "NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt"}  # fmt: skip
    return {**found, "HOME": "/root", "USER": "root", "SHELL": "/bin/bash"}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="codetainer enter", description="Run a command in a running sandbox, or a shell.")
    parser.add_argument("--name", default="sandbox", help="which sandbox (default: %(default)s)")
    parser.add_argument("--root", action="store_true", help="as root instead of the agent")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="what to run (default: a login shell)")
    options = parser.parse_args(argv)
    identity = ROOT if options.root else AGENT
    try:
        init = rendezvous.find(options.name)
    except NoSandbox as error:
        sys.stderr.write(f"codetainer: {error}\n")
        return 1
    command = options.command or ["bash", "-l"]
    return relay.run(init, command, identity, environment_for(identity), "/" if options.root else "/workspace")
