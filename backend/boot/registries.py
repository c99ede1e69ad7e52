"""Which hosts the package tools talk to, as their own global configuration says: what stands behind `@npm` on the list.

Asked as root with an empty home, so that no file of the agent's counts; side by side; a tool that is not there names nothing.
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
# Where pip's configuration names no index it uses the ones its own source holds.
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
    # Without release information also what was never fetched is told: an image holds no package lists.
    "apt": ("apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)"),
}


def hosts(text: str) -> tuple[str, ...]:
    """The entries that a tool's answer names: the host of each http(s) address in it, with its port where that is odd.

    Credentials in an address are left behind. `GOSUMDB` is a bare host.
    """
    found: dict[str, None] = {}
    for word in re.split(r"[\s,|]+", text):
        if word.startswith(("http://", "https://")):
            with contextlib.suppress(ValueError):
                parts = urlsplit(word)
                if parts.hostname:
                    odd = parts.port not in (None, 80, 443)
                    found[
                        f"{parts.hostname}:{parts.port}/{'tls' if parts.scheme == 'https' else 'http'}"
                        if odd
                        else parts.hostname
                    ] = None
        elif re.match(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z", word) and not word.replace(".", "").isdigit():
            found[word] = None
    return tuple(found)


async def find(tools: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The entries behind each tool; an empty tuple where the tool is not there or does not answer."""
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
