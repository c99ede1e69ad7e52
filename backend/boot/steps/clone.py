"""The repository, cloned as the agent: root runs no hook and follows no link that came over the network."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from urllib.parse import urlsplit

from backend import system
from backend.agent import agent
from backend.boot.plan import StepFailed, StepSkipped
from backend.context import Boot
from backend.settings.values import repository as repository_url
from backend.system import AGENT

SECONDS = 600.0
LOOK_SECONDS = 0.2
MAX_LOOK = 16 << 10  # bytes that are read at a look
MAX_LINES = 500  # that are said
MAX_LAST = 500  # characters
API = "api.github.com"


async def run(boot: Boot) -> str:
    if not boot.settings.repo_url:
        raise StepSkipped("REPO_URL is not set")
    code, last = await _clone(boot)
    if code != 0:
        raise StepFailed(f"cannot clone {boot.settings.repo_url}: {last or f'git ended with {code}'}", remedy(boot, last))
    boot.cloned = True
    parent = await _parent(boot)
    if not parent:
        return boot.settings.repository
    await agent.run(["git", "-C", str(boot.paths.repository), "remote", "add", "upstream", parent], boot.agent_environment)
    return f"{boot.settings.repository}, a fork of {parent.removeprefix('https://github.com/').removesuffix('.git')}"


async def _clone(boot: Boot) -> tuple[int, str]:
    """git's code, and the last line it said; its progress is said meanwhile, in bounds.

    At a retry the agent is there, and git may be a program of its own. So this is a file and no pipe: a pipe is open for as
    long as anybody holds it, and what is said into it has to be read.
    """
    said = os.memfd_create("said")
    try:
        process = await system.spawn(
            ["git", "clone", "--progress", "--", boot.settings.repo_url, str(boot.paths.repository)], identity=AGENT,
            environment=boot.agent_environment, cwd=boot.paths.workspace, stdout=asyncio.subprocess.DEVNULL, stderr=said,
        )  # fmt: skip
        try:
            at = lines = 0
            code: int | None = None
            while code is None:
                with contextlib.suppress(TimeoutError):
                    code = await asyncio.wait_for(process.wait(), LOOK_SECONDS)
                text = os.pread(said, MAX_LOOK, at)
                if len(text) < MAX_LOOK and code is None:
                    text = text[: max(text.rfind(b"\n"), text.rfind(b"\r")) + 1]  # a line that is not whole yet
                at += len(text)
                for line in _lines(text)[: MAX_LINES - lines]:
                    boot.say("clone", line)
                    lines += 1
        finally:
            system.kill_group(process)
        end = _lines(os.pread(said, MAX_LOOK, max(0, os.fstat(said).st_size - MAX_LOOK)))
        return code, end[-1][:MAX_LAST] if end else ""
    finally:
        os.close(said)


def _lines(text: bytes) -> list[str]:
    """git redraws its progress with carriage returns."""
    return [line for part in re.split(r"[\r\n]+", text.decode(errors="replace")) if (line := part.strip())]


def remedy(boot: Boot, last: str) -> str:
    """What to do where git, as it said last, could not clone."""
    host = urlsplit(boot.settings.repo_url).hostname or ""
    if boot.policy.listed.match(host) is None:
        return f"Set CODETAINER_EXTRA_DOMAINS={host}: the host is not on the allowlist."
    if "Could not resolve host" in last:  # libcurl's words, which no locale changes
        return boot.other_resolvers
    return "Check that GH_PAT is valid for this repository."


async def _parent(boot: Boot) -> str:
    """Where a fork on GitHub comes from, "" for what is none. Asked as the agent, by way of the gate; no answer is no error."""
    if not boot.settings.repo_url.startswith("https://github.com/") or boot.policy.listed.match(API) is None:
        return ""
    url = f"https://{API}/repos/{boot.settings.repository}"
    header = f"Authorization: Bearer {boot.agent_environment['GH_TOKEN']}\n"
    done = await system.run_async(
        ["curl", "-sSf", "-m", "10", "-H", "@-", url], identity=AGENT, environment=boot.agent_environment, input=header,
        timeout=15.0, check=False,
    )  # fmt: skip
    try:
        found = done.value()["parent"]["clone_url"]
        return repository_url(found)
    except (ValueError, KeyError, TypeError):
        return ""
