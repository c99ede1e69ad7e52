"""The repository, cloned as the agent: root runs no hook and follows no link that came over the network."""

from __future__ import annotations

import asyncio
import re

from backend import system
from backend.boot.context import Boot
from backend.boot.plan import StepFailed, StepSkipped
from backend.system import AGENT

SECONDS = 600.0


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
    return boot.settings.repository
