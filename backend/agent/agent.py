"""The environment of the agent's processes, and the functions that run commands and write files as the agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backend import system
from backend.contract.paths import Paths
from backend.system import AGENT, Finished

if TYPE_CHECKING:
    from backend.settings import Settings

WRITE_SECONDS = 5.0
# Variables of the runtimes that do not read the system's CA bundle by default.
TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "PIP_CERT")


def own_environment(paths: Paths) -> dict[str, str]:
    """The agent's environment without tokens and without variables that the operator sets."""
    home = str(paths.home)
    return {
        "HOME": home,
        "USER": "claude",
        "LOGNAME": "claude",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PATH": f"{home}/.local/bin:{home}/.bun/bin:/usr/local/bin:/usr/bin:/bin",
        "GH_CONFIG_DIR": str(paths.gh_config),
        "GIT_TERMINAL_PROMPT": "0",
        **dict.fromkeys(TRUST, f"/{paths.ca_bundle.relative_to(paths.root)}"),
        "NODE_EXTRA_CA_CERTS": f"/{paths.node_authorities.relative_to(paths.root)}",
        "DISABLE_AUTOUPDATER": "1",
        # Otherwise Claude Code looks for its official marketplace at each start. Boot adds it if a plugin needs it.
        "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
    }


def environment(settings: Settings, paths: Paths) -> dict[str, str]:
    """The agent's whole environment, with its tokens or their placeholders."""
    variables = own_environment(paths)
    secrets = settings.agent_secrets
    variables["GH_TOKEN"] = variables["GITHUB_TOKEN"] = secrets.gh_pat  # gh reads the first, most other programs the second
    if secrets.oauth_token:
        variables["CLAUDE_CODE_OAUTH_TOKEN"] = secrets.oauth_token
    else:
        variables["ANTHROPIC_API_KEY"] = secrets.api_key
    telemetry = settings.telemetry.for_agent(outside=settings.outside)
    return {**settings.own_secrets, **telemetry, **variables}


def make_folder(path: Path, mode: int = 0o755) -> None:
    """Creates a folder in the agent's home as the agent, so that root never follows a link that the agent created."""
    system.run(["install", "-d", "-m", f"{mode:o}", str(path)], identity=AGENT)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file as the agent. The text goes through stdin, so no argument list shows it."""
    system.run(
        ["sh", "-c", 'umask 077; cat > "$1" && chmod "$2" "$1"', "sh", str(path), f"{mode:o}"], identity=AGENT, input=text,
        timeout=WRITE_SECONDS,
    )  # fmt: skip


async def run(argv: list[str], env: dict[str, str], cwd: Path | str = "/", seconds: float = 30.0) -> Finished:
    """Runs a command as the agent. Does not raise if the command fails: see the exit code."""
    return await system.run_async(argv, identity=AGENT, environment=env, cwd=cwd, timeout=seconds, check=False)
