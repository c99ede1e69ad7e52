"""Clones the repository as the agent, so that root runs no hook and follows no link that came over the network."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from backend import system
from backend.agent import agent
from backend.boot import clone_errors
from backend.boot.clone_errors import Cause
from backend.boot.plan import StepFailed, StepSkipped
from backend.context import Boot
from backend.settings.values import repository as repository_url
from backend.system import AGENT

SECONDS = 600.0
LOOK_SECONDS = 0.2
MAX_LOOK = 16 << 10  # bytes read at a time
MAX_LINES = 500  # lines of progress that are reported
MAX_LAST = 50  # lines in which the cause of a failure is looked for
API = "api.github.com"


async def run(boot: Boot) -> str:
    if not boot.settings.repo_url:
        raise StepSkipped("REPO_URL is not set")
    space = os.statvfs(boot.paths.workspace)
    about = await _about(boot)
    problem = clone_errors.too_large(_size(about), space.f_bavail * space.f_frsize)
    if problem is None:
        code, output = await _clone(boot)
        if code != 0:
            problem = clone_errors.cause(output, space.f_blocks * space.f_frsize, code)
    if problem is not None:
        raise StepFailed(f"cannot clone {boot.settings.repo_url}: {problem.reason}", remedy(boot, problem))
    boot.cloned = True
    if await _lacks_lfs(boot):
        boot.say("clone", "warning: files of Git LFS are only pointers, because git-lfs is not installed in this sandbox")
    parent = _parent(about)
    if not parent:
        return boot.settings.repository
    await agent.run(["git", "-C", str(boot.paths.repository), "remote", "add", "upstream", parent], boot.agent_environment)
    return f"{boot.settings.repository}, a fork of {parent.removeprefix('https://github.com/').removesuffix('.git')}"


async def _clone(boot: Boot) -> tuple[int, list[str]]:
    """Runs git and reports its progress, up to MAX_LINES lines; returns its exit code and its last lines.

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
        return code, _lines(os.pread(output, MAX_LOOK, max(0, os.fstat(output).st_size - MAX_LOOK)))[-MAX_LAST:]
    finally:
        os.close(output)


def _lines(text: bytes) -> list[str]:
    """Splits output at line feeds and at carriage returns, with which git redraws its progress."""
    return [line for part in re.split(r"[\r\n]+", text.decode(errors="replace")) if (line := part.strip())]


def remedy(boot: Boot, problem: Cause) -> str:
    """Returns the remedy for a failed clone."""
    host = urlsplit(boot.settings.repo_url).hostname or ""
    if boot.policy.listed.match(host) is None:
        return f"Set CODETAINER_EXTRA_DOMAINS={host}: the host is not on the allowlist."
    if "Could not resolve host" in problem.reason:  # from libcurl
        return boot.other_resolvers
    return problem.remedy or "Run codetainer logs to see what git printed."


async def _lacks_lfs(boot: Boot) -> bool:
    """True if the clone has files of Git LFS (gitattributes(5): filter=lfs) and no git-lfs to fetch them."""
    if shutil.which("git-lfs", path=system.SYSTEM_PATH):
        return False
    command = ["git", "-C", str(boot.paths.repository), "grep", "-qE", "filter=lfs", "HEAD", "--", ":(glob)**/.gitattributes"]
    return (await agent.run(command, boot.agent_environment)).code == 0


async def _about(boot: Boot) -> Mapping[str, Any]:
    """Returns what GitHub reports about the repository; nothing if it does not answer. Asks as the agent."""
    if not boot.settings.repo_url.startswith("https://github.com/") or boot.policy.listed.match(API) is None:
        return {}
    url = f"https://{API}/repos/{boot.settings.repository}"
    header = f"Authorization: Bearer {boot.agent_environment['GH_TOKEN']}\n"
    done = await system.run_async(
        ["curl", "-sSf", "-m", "10", "-H", "@-", url], identity=AGENT, environment=boot.agent_environment, input=header,
        timeout=15.0, check=False,
    )  # fmt: skip
    try:
        about = done.value()
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def _size(about: Mapping[str, Any]) -> int:
    """The packed size of a repository in bytes; 0 if unknown. GitHub reports KiB."""
    size = about.get("size")
    return size << 10 if isinstance(size, int) and size > 0 else 0


def _parent(about: Mapping[str, Any]) -> str:
    """The URL of a fork's parent; "" if it is not a fork."""
    try:
        return repository_url(about["parent"]["clone_url"])
    except (ValueError, KeyError, TypeError):
        return ""
