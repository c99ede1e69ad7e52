"""The repository, cloned as the agent: root runs no hook and follows no link that came over the network."""

from __future__ import annotations

import asyncio
import json
import re

from backend import system
from backend.boot import agent
from backend.boot.context import Boot
from backend.boot.plan import StepFailed, StepSkipped
from backend.system import AGENT
from backend.variables import repository as repository_url

SECONDS = 600.0
API = "api.github.com"


async def run(boot: Boot) -> str:
    if not boot.settings.repo_url:
        raise StepSkipped("REPO_URL is not set")
    process = await system.spawn(
        ["git", "clone", "--progress", "--", boot.settings.repo_url, str(boot.paths.repository)], identity=AGENT,
        environment=boot.agent_environment, cwd=boot.paths.workspace,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    last = ""
    try:
        rest = ""
        while chunk := await process.stderr.read(4096):
            # git redraws its progress with carriage returns.
            *lines, rest = re.split(r"[\r\n]+", rest + chunk.decode(errors="replace"))
            for line in lines:
                last = line.strip() or last
                if line.strip():
                    boot.say("clone", line.strip())
        code = await process.wait()
    finally:
        system.kill_group(process)
    if code != 0:
        raise StepFailed(
            f"cannot clone {boot.settings.repo_url}: {last or f'git ended with {code}'}",
            "is GH_PAT good for this repository, and is its host on the list?",
        )
    parent = await _parent(boot)
    if not parent:
        return boot.settings.repository
    await agent.run(["git", "-C", str(boot.paths.repository), "remote", "add", "upstream", parent], boot.agent_environment)
    return f"{boot.settings.repository}, a fork of {parent.removeprefix('https://github.com/').removesuffix('.git')}"


async def _parent(boot: Boot) -> str:
    """Where a fork on GitHub comes from, "" for what is none. Asked as the agent, by way of the gate; no answer is no error."""
    if not boot.settings.repo_url.startswith("https://github.com/") or boot.allowlist.match(API) is None:
        return ""
    url = f"https://{API}/repos/{boot.settings.repository}"
    header = f"Authorization: Bearer {boot.agent_environment['GH_TOKEN']}\n"
    done = await system.run_async(
        ["curl", "-sSf", "-m", "10", "-H", "@-", url], identity=AGENT, environment=boot.agent_environment, input=header,
        timeout=15.0, check=False,
    )  # fmt: skip
    try:
        found = json.loads(done.out)["parent"]["clone_url"]
        return repository_url(found)
    except (ValueError, KeyError, TypeError):
        return ""
