"""Clones the repository as the agent, so that root runs no hook and follows no link that came over the network."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from backend import system, tmpfs
from backend.agent import agent
from backend.boot import clone_errors
from backend.boot.clone_errors import Cause
from backend.boot.plan import StepFailed, StepSkipped, StepWarned
from backend.boot.steps.git import has_lfs
from backend.context import Boot
from backend.settings.values import repository as repository_url
from backend.system import AGENT, Finished
from network.names import normalise

SECONDS = 600.0
GIT_SECONDS = 30.0
LOOK_SECONDS = 0.2
MAX_LOOK = 16 << 10  # bytes read at a time
MAX_LINES = 500  # lines of progress that are reported
MAX_LAST = 50  # lines in which the cause of a failure is looked for
OPERATOR = "operator"  # the remote of a clone of `up --work`
OPERATOR_URL = "codetainer://operator"
API = "api.github.com"
LFS_HOST = "github-cloud.githubusercontent.com"  # downloads
MAX_WORDS = 200  # characters that the repository or a program chose


async def run(boot: Boot) -> str:
    if boot.paths.work_bundle.exists():
        return await _clone_work(boot)
    if not boot.settings.repo_url:
        raise StepSkipped("REPO_URL is not set")
    if boot.resumed is not None and boot.resumed.state.cloned:  # a retry finds it there, too
        boot.cloned = True
        raise StepSkipped(f"resumed: the clone is as it was on {boot.resumed.state.age}")
    about = await _about(boot)
    if not boot.cloned:  # a step with a warning is repeated by a retry
        await _clone(boot, about)
    detail = boot.settings.repository
    if parent := _parent(about):
        await _git(boot, "remote", "add", "upstream", parent)
        detail += f", a fork of {parent.removeprefix('https://github.com/').removesuffix('.git')}"
    warnings = [_new_name(boot, about)]
    if (await _git(boot, "rev-parse", "--quiet", "--verify", "HEAD")).code == 0:
        await _report_submodules(boot)
        warnings.append(await _fetch_lfs(boot))
    elif branch := (await _git(boot, "for-each-ref", "--format=%(refname:lstrip=3)", "--count=1", "refs/remotes/origin")).out:
        warnings.append(_without_checkout(boot, branch.strip()))
    else:
        detail += ", which has no commits yet"
    if found := [warning for warning in warnings if warning is not None]:
        raise StepWarned("; ".join(str(warning) for warning in found), " ".join(warning.remedy for warning in found))
    return detail


async def _clone(boot: Boot, about: Mapping[str, Any]) -> None:
    """Clones if there is enough space. Raises StepFailed."""
    space = tmpfs.usage(boot.paths.workspace)
    problem = clone_errors.too_large(_size(about), space.size - space.used)
    if problem is None:
        code, output = await _run(boot, boot.settings.repo_url)
        if code != 0:
            problem = clone_errors.cause(output, space, code)
    if problem is not None:
        raise StepFailed(f"cannot clone {boot.settings.repo_url}: {problem.reason}", remedy(boot, problem))
    boot.cloned = True


async def _clone_work(boot: Boot) -> str:
    """Clones the operator's repository from its bundle (`codetainer up --work`). Raises StepFailed."""
    branch = boot.paths.work_branch.read_text(errors="surrogateescape")
    if not boot.cloned:  # a retry
        chosen = ("--branch", branch) if branch else ()
        code, output = await _run(boot, str(boot.paths.work_bundle), "--origin", OPERATOR, *chosen)
        if code != 0:
            problem = clone_errors.cause(output, tmpfs.usage(boot.paths.workspace), code)
            raise StepFailed(f"cannot clone the operator's repository: {problem.reason}", problem.remedy)
        boot.cloned = True
    # The bundle is no remote to fetch from. With a URL of another machine, its branches count as saved elsewhere.
    await _git(boot, "remote", "set-url", OPERATOR, OPERATOR_URL)
    await _report_submodules(boot)
    return f"the operator's repository, {branch or 'a detached HEAD'}"[:MAX_WORDS]


async def _git(boot: Boot, *arguments: str, seconds: float = GIT_SECONDS) -> Finished:
    """Runs git in the clone, as the agent."""
    return await agent.run(["git", *arguments], boot.agent_environment, boot.paths.repository, seconds)


def _new_name(boot: Boot, about: Mapping[str, Any]) -> StepWarned | None:
    """A warning if GitHub knows the repository by another name, to which it redirects pushes and which is out of scope."""
    name = str(about.get("full_name") or "")[:MAX_WORDS]
    in_scope = {one.lower() for one in (boot.settings.repository, *boot.settings.writable)}
    if not name or name.lower() in in_scope:
        return None
    return StepWarned(
        f"{boot.settings.repository} is now called {name}, and pushes to that name are refused",
        f"Set REPO_URL=https://github.com/{quote(name)} and start the sandbox again.",
    )


def _without_checkout(boot: Boot, branch: str) -> StepWarned:
    """The warning if the host's default branch does not exist. `branch` is another one, whose name the repository chose."""
    return StepWarned(
        f"nothing is checked out, because the default branch of {boot.settings.repository} does not exist",
        f"Set a default branch that exists at the git host, or name a branch to the agent, such as {branch[:MAX_WORDS]}.",
    )


async def _report_submodules(boot: Boot) -> None:
    """Reports submodules, which git clone leaves empty, and their hosts that are not on the allowlist."""
    configured = await _git(boot, "config", "--blob", "HEAD:.gitmodules", "--get-regexp", r"\.url$")
    urls = [line.partition(" ")[2] for line in configured.out.splitlines()]
    if not urls:
        return
    boot.say("clone", "submodules are not fetched; git submodule update --init fetches them")
    for host in sorted({host for url in urls if (host := _host(url)) and boot.policy.listed.match(host) is None}):
        boot.say("clone", f"warning: a submodule is at {host}, which is not on the allowlist")


def _host(url: str) -> str:
    """The host of a submodule's URL, "" if it is relative or invalid. The repository chose the URL."""
    short = "" if "://" in url else url.rpartition(":")[0]  # [USER@]HOST:PATH (git-clone(1))
    try:
        return normalise(short.rpartition("@")[2] or urlsplit(url).hostname or "")
    except ValueError:
        return ""


async def _fetch_lfs(boot: Boot) -> StepWarned | None:
    """Fetches the files of Git LFS, if the repository has any (gitattributes(5)). Returns a warning if that fails."""
    tracked = await _git(boot, "grep", "-qE", "filter=lfs", "HEAD", "--", ":(glob)**/.gitattributes")
    if tracked.code != 0:
        return None
    if not has_lfs():
        boot.say("clone", "warning: files of Git LFS are only pointers, because git-lfs is not installed in this sandbox")
        return None
    done = await _git(boot, "lfs", "pull", seconds=SECONDS / 2)
    if done.code == 0:
        return None
    return StepWarned(
        f"files of Git LFS are only pointers: {done.last_line[:MAX_WORDS]}",
        f"Check that {LFS_HOST} is on the allowlist and that GH_PAT can read the repository, then run codetainer retry.",
    )


async def _run(boot: Boot, source: str, *options: str) -> tuple[int, list[str]]:
    """Runs git and reports its progress, up to MAX_LINES lines; returns its exit code and its last lines.

    On a retry the agent is running and may have replaced git. So the output goes to a file: a pipe would have to be read for
    as long as any process holds it open.
    """
    output = os.memfd_create("output")
    try:
        process = await system.spawn(
            ["git", "clone", "--progress", *options, "--", source, str(boot.paths.repository)], identity=AGENT,
            environment={**boot.agent_environment, "GIT_LFS_SKIP_SMUDGE": "1"}, cwd=boot.paths.workspace,
            stdout=asyncio.subprocess.DEVNULL, stderr=output,
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


async def _about(boot: Boot) -> Mapping[str, Any]:
    """Returns what GitHub reports about the repository; nothing if it does not answer. Asks as the agent."""
    if not boot.settings.repo_url.startswith("https://github.com/") or boot.policy.listed.match(API) is None:
        return {}
    url = f"https://{API}/repos/{boot.settings.repository}"
    header = f"Authorization: Bearer {boot.agent_environment['GH_TOKEN']}\n"
    done = await system.run_async(
        ["curl", "-sSfL", "--max-redirs", "3", "--proto-redir", "=https", "-m", "10", "-H", "@-", url], identity=AGENT,
        environment=boot.agent_environment, input=header, timeout=15.0, check=False,
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
