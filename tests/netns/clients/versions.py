"""How each client, and HAProxy, tells its version in the sandbox."""

from __future__ import annotations

import re

from tests.netns.clients.rows import FOLDER, PYTHON
from tests.netns.sandbox import Running

_VERSION = re.compile(r"\d+(\.\d+)+")
_MODULES = f"{FOLDER}/node_modules"


def _package(path: str) -> tuple[str, ...]:
    """The command for a package of npm."""
    return ("node", "-p", f"require('{_MODULES}/{path}/package.json').version")


def _module(name: str) -> tuple[str, ...]:
    """The command for a module of Python."""
    return (PYTHON, "-c", f"import {name}; print({name}.__version__)")


_JAVA = ("java", "--version")
COMMANDS: dict[str, tuple[str, ...]] = {
    "haproxy": ("/usr/sbin/haproxy", "-v"),
    "git": ("git", "--version"),
    "git-lfs": ("git", "lfs", "version"),
    "gh": ("gh", "--version"),
    "curl": ("curl", "--version"),
    "wget": ("wget", "--version"),
    "aria2": ("aria2c", "--version"),
    "requests": _module("requests"),
    "httpx": _module("httpx"),
    "pip": _module("pip"),
    "uv": (f"{FOLDER}/python/bin/uv", "--version"),
    "npm": ("npm", "--version"),
    "pnpm": _package("pnpm"),
    "yarn": _package("yarn"),
    "bun-add": (f"{FOLDER}/bun", "--version"),
    "bun": (f"{FOLDER}/bun", "--version"),
    "deno": (f"{FOLDER}/deno", "--version"),
    "node": ("node", "--version"),
    "go": (f"{FOLDER}/go-client", "version"),
    "cargo": (f"{FOLDER}/cargo", "--version"),
    "java": _JAVA,
    "java-url": _JAVA,
    "ruby": ("ruby", "--version"),
    "sdk-python": ("env", f"PYTHONPATH={FOLDER}/python", *_module("anthropic")),
    "sdk-typescript": ("sed", "-n", 's/.*"version": "\\(.*\\)".*/\\1/p', f"{_MODULES}/@anthropic-ai/sdk/package.json"),
    "claude": ("claude", "--version"),
    "claude-other": (f"{FOLDER}/claude-other", "--version"),
}  # fmt: skip


def version(sandbox: Running, program: str) -> str:
    """Returns the version that a client or HAProxy tells. Raises AssertionError."""
    done = sandbox.agent(*COMMANDS[program])
    found = _VERSION.search(done.stdout)
    assert found, f"cannot read the version of {program}: {done.stdout}{done.stderr}"
    return found[0]
