"""Finds the hosts of package registries, such as `@npm` on the allowlist, in the global configuration of the package tools.

The tools run as root with an empty home, so no file of the agent counts. A tool that is not installed has no hosts.
Sources: npm-config(1), pip's configuration and its built-in index, `go help environment`, apt-get(8) indextargets.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Iterable
from urllib.parse import urlsplit

from backend import system
from backend.system import BASE_ENVIRONMENT, SystemFailure

SECONDS = 10.0
_ENVIRONMENT = {**BASE_ENVIRONMENT, "HOME": "/nonexistent", "NPM_CONFIG_UPDATE_NOTIFIER": "false", "GOTOOLCHAIN": "local"}
# Without an index in its configuration, pip uses the one in its source code.
_PIP = """\
import sys, subprocess
from urllib.parse import urlsplit
def config(key):
    ask = [sys.executable, "-I", "-m", "pip", "config", "get", key]
    return subprocess.run(ask, capture_output=True, text=True).stdout.strip()
print(config("global.index-url"))
print(config("global.extra-index-url"))
from pip._internal.models.index import PyPI
if not config("global.index-url"):
    print(PyPI.url)
    print("https://" + PyPI.file_storage_domain)
"""
_COMMANDS: dict[str, tuple[str, ...]] = {
    "npm": ("npm", "config", "get", "registry", "--location=global"),
    "bun": ("npm", "config", "get", "registry", "--location=global"),
    "pip": ("/usr/bin/python3", "-I", "-c", _PIP),
    "go": ("go", "env", "GOPROXY", "GOSUMDB"),
    # Includes targets that were never fetched, because an image contains no package lists.
    "apt": ("apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)"),
}


def hosts(text: str) -> tuple[str, ...]:
    """Returns the allowlist entries in a tool's output: the host of each http(s) URL, with its port if it is unusual.

    Credentials in a URL are dropped. `GOSUMDB` is a host without URL.
    """
    entries: dict[str, None] = {}
    for word in re.split(r"[\s,|]+", text):
        if word.startswith(("http://", "https://")):
            with contextlib.suppress(ValueError):
                parts = urlsplit(word)
                if parts.hostname:
                    check = "tls" if parts.scheme == "https" else "http"
                    usual = parts.port in (None, 80, 443)
                    entries[parts.hostname if usual else f"{parts.hostname}:{parts.port}/{check}"] = None
        elif re.match(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z", word) and not word.replace(".", "").isdigit():
            entries[word] = None
    return tuple(entries)


async def find(tools: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Returns the entries for each tool; none for a tool that is not installed or fails."""
    wanted = list(tools)
    answers = await asyncio.gather(*(_ask(tool) for tool in wanted))
    return dict(zip(wanted, answers, strict=True))


async def _ask(tool: str) -> tuple[str, ...]:
    argv = _COMMANDS[tool]
    if shutil.which(argv[0], path=f"{system.SYSTEM_PATH}:/usr/local/go/bin") is None:
        return ()
    program = shutil.which(argv[0], path=f"{system.SYSTEM_PATH}:/usr/local/go/bin") or argv[0]
    try:
        done = await system.run_async([program, *argv[1:]], environment=_ENVIRONMENT, timeout=SECONDS, check=False)
    except SystemFailure:
        return ()
    return hosts(done.out)
