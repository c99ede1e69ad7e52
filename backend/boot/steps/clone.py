"""Clones the repository as the agent, so that root runs no hook and follows no link that came over the network."""

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
MAX_LOOK = 16 << 10  # bytes read at a time
MAX_LINES = 500  # lines of progress that are reported
MAX_LAST = 500  # characters
API = "api.github.com"


async def run(boot: Boot) -> str:
    if not boot.settings.repo_url:
        raise StepSkipped("REPO_URL is not set")
    code, last = await _clone(boot)
    if code != 0:
        raise StepFailed(f"cannot clone {boot.settings.repo_url}: {last or f'git exited with code {code}'}", remedy(boot, last))
    boot.cloned = True
    parent = await _parent(boot)
    if not parent:
        return boot.settings.repository
    await agent.run(["git", "-C", str(boot.paths.repository), "remote", "add", "upstream", parent], boot.agent_environment)
    return f"{boot.settings.repository}, a fork of {parent.removeprefix('https://github.com/').removesuffix('.git')}"


async def _clone(boot: Boot) -> tuple[int, str]:
    """Runs git and reports its progress, up to MAX_LINES lines; returns its exit code and its last line.

    On a retry the agent is running and may have replaced git. So the output goes to a file: a pipe would have to be read for
    as long as any process holds it open.
    """
    output = os.memfd_create("output")
    try:
        process = await system.spawn(
            ["git", "clone", "--progress", "--", boot.settings.repo_url, str(boot.paths.repository)], identity=AGENT,
            environment=boot.agent_environment, cwd=boot.paths.workspace, stdout=asyncio.subprocess.DEVNULL, stderr=output,
        )  # fmt: skip
        try:
            at = lines = 0
            code: int | None = None
            while code is None:
                with contextlib.suppress(TimeoutError):
                    code = await asyncio.wait_for(process.wait(), LOOK_SECONDS)
                text = os.pread(output, MAX_LOOK, at)
                if len(text) < MAX_LOOK and code is None:
                    text = text[: max(text.rfind(b"\n"), text.rfind(b"\r")) + 1]  # without an incomplete line
                at += len(text)
                for line in _lines(text)[: MAX_LINES - lines]:
                    boot.say("clone", line)
                    lines += 1
        finally:
            system.kill_group(process)
        end = _lines(os.pread(output, MAX_LOOK, max(0, os.fstat(output).st_size - MAX_LOOK)))
        return code, end[-1][:MAX_LAST] if end else ""
    finally:
        os.close(output)


def _lines(text: bytes) -> list[str]:
    """Splits output at line feeds and at carriage returns, with which git redraws its progress."""
    return [line for part in re.split(r"[\r\n]+", text.decode(errors="replace")) if (line := part.strip())]


def remedy(boot: Boot, last: str) -> str:
    """Returns the remedy for a failed clone. `last` is git's last line."""
    host = urlsplit(boot.settings.repo_url).hostname or ""
    if boot.policy.listed.match(host) is None:
        return f"Set CODETAINER_EXTRA_DOMAINS={host}: the host is not on the allowlist."
    if "Could not resolve host" in last:  # from libcurl, which does not translate it
        return boot.other_resolvers
    return "Check that GH_PAT is valid for this repository."


async def _parent(boot: Boot) -> str:
    """Returns the URL of a GitHub fork's parent, or "" if there is none or GitHub does not answer. Asks as the agent."""
    if not boot.settings.repo_url.startswith("https://github.com/") or boot.policy.listed.match(API) is None:
        return ""
    url = f"https://{API}/repos/{boot.settings.repository}"
    header = f"Authorization: Bearer {boot.agent_environment['GH_TOKEN']}\n"
    done = await system.run_async(
        ["curl", "-sSf", "-m", "10", "-H", "@-", url], identity=AGENT, environment=boot.agent_environment, input=header,
        timeout=15.0, check=False,
    )  # fmt: skip
    try:
        return repository_url(done.value()["parent"]["clone_url"])
    except (ValueError, KeyError, TypeError):
        return ""
