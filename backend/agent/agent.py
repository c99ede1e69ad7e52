"""What the agent's processes get: an environment that is a list, and the identity that everything of its own runs under."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backend import system
from backend.contract.paths import Paths
from backend.system import AGENT, Finished

if TYPE_CHECKING:
    from backend.settings import Settings

WRITE_SECONDS = 5.0
# Runtimes that do not look at the system's bundle by themselves, each by its own variable.
TRUST = (
    "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO",
    "PIP_CERT",
)  # fmt: skip


def own_environment(paths: Paths) -> dict[str, str]:
    """What all of the agent's processes have, without tokens and without what the operator has set for them."""
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
        "DISABLE_AUTOUPDATER": "1",
    }


def environment(settings: Settings, paths: Paths) -> dict[str, str]:
    """The agent's environment, with the tokens or their placeholders: for all that works for it."""
    found = own_environment(paths)
    secrets = settings.agent_secrets
    found["GH_TOKEN"] = secrets.gh_pat
    if secrets.oauth_token:
        found["CLAUDE_CODE_OAUTH_TOKEN"] = secrets.oauth_token
    else:
        found["ANTHROPIC_API_KEY"] = secrets.api_key
    telemetry = settings.telemetry.for_agent(outside=settings.outside)
    return {**settings.own_secrets, **telemetry, **found}


def make_folder(path: Path, mode: int = 0o755) -> None:
    """A folder in the agent's home, made as the agent: root follows no link that the agent may have laid."""
    system.run(["install", "-d", "-m", f"{mode:o}", str(path)], identity=AGENT)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """A file of the agent's, written as the agent, by way of stdin."""
    system.run(
        ["sh", "-c", 'umask 077; cat > "$1" && chmod "$2" "$1"', "sh", str(path), f"{mode:o}"], identity=AGENT, input=text,
        timeout=WRITE_SECONDS,
    )  # fmt: skip


async def run(argv: list[str], env: dict[str, str], cwd: Path | str = "/", seconds: float = 30.0) -> Finished:
    """Runs a command as the agent; a failure is in its code."""
    return await system.run_async(argv, identity=AGENT, environment=env, cwd=cwd, timeout=seconds, check=False)
