"""Finds the hosts of package registries, such as `@npm` on the allowlist, in the global configuration of the package tools.

Files of the agent do not count: the tools run as root without a home, where they would write logs, and only root's files are
read. A tool that is not installed has no hosts.
Sources: npm-config(1), pip's configuration and its built-in index, `go help environment`, sources.list(5).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from backend import system
from backend.system import BASE_ENVIRONMENT, SystemFailure

SECONDS = 10.0
APT = Path("/etc/apt")
_ENVIRONMENT = {**BASE_ENVIRONMENT, "HOME": "/dev/null", "NPM_CONFIG_UPDATE_NOTIFIER": "false", "GOTOOLCHAIN": "local"}
# Prints what `pip config get` would; without an index in the configuration, the one in pip's source code. Reading pip's files
# takes a tenth of the time of importing pip. The order is pip's (`pip config debug`): a later file overrides an earlier one.
_PIP = """\
import configparser, importlib.util, os, sys
config = configparser.RawConfigParser()
for folder in ("/etc/xdg/pip", "/etc", sys.prefix):
    config.read(os.path.join(folder, "pip.conf"))
def values(key):
    return [config.get(section, key, fallback="") for section in ("install", "global")]
index = next(filter(None, values("index-url")), "")
print(index, *values("extra-index-url"))
if not index and (pip := importlib.util.find_spec("pip")):
    file = os.path.join(pip.submodule_search_locations[0], "_internal", "models", "index.py")
    module = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("index", file))
    spec.loader.exec_module(module)
    print(module.PyPI.url, "https://" + module.PyPI.file_storage_domain)
"""
_NPM = ("npm", "config", "get", "registry", "--location=global")
_COMMANDS: dict[str, tuple[str, ...]] = {
    "npm": _NPM,
    "bun": _NPM,
    "pip": ("/usr/bin/python3", "-I", "-c", _PIP),
    "go": ("go", "env", "GOPROXY", "GOSUMDB"),
}
# A source in the one-line format, with its options in brackets: deb [arch=amd64] https://mirror.example/debian stable main
_DEB_LINE = re.compile(r"deb(?:-src)?\s+(?:\[[^\]]*\]\s*)?(\S+)")


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
    commands = list(dict.fromkeys(_COMMANDS[tool] for tool in wanted if tool in _COMMANDS))  # npm and bun share one
    answers = dict(zip(commands, await asyncio.gather(*map(_ask, commands)), strict=True))
    return {tool: answers[_COMMANDS[tool]] if tool in _COMMANDS else hosts(apt_sources(APT)) for tool in wanted}


async def _ask(argv: tuple[str, ...]) -> tuple[str, ...]:
    program = shutil.which(argv[0], path=f"{system.SYSTEM_PATH}:/usr/local/go/bin")
    if program is None:
        return ()
    try:
        done = await system.run_async([program, *argv[1:]], environment=_ENVIRONMENT, timeout=SECONDS, check=False)
    except SystemFailure:
        return ()
    return hosts(done.out)


def apt_sources(folder: Path) -> str:
    """Returns the URIs of apt's sources, one per line, also those that were never fetched. `folder`: apt's configuration.

    Reads the files that sources.list(5) names; `apt-get indextargets` prints the same and takes most of a second.
    """
    uris: list[str] = []
    for file in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if re.fullmatch(r"[\w.-]+\.(list|sources)", file.name, re.ASCII):
            with contextlib.suppress(OSError):
                text = file.read_text(encoding="utf-8", errors="replace")
                uris += _deb822_uris(text) if file.suffix == ".sources" else _one_line_uris(text)
    return "\n".join(uris)


def _one_line_uris(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if source := _DEB_LINE.match(line.strip()):
            yield source[1]


def _deb822_uris(text: str) -> Iterator[str]:
    """Yields the URIs of the enabled stanzas in the format of deb822(5)."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", lines):
        fields = {name.lower(): value for name, value in re.findall(r"^([^\s:]+):((?:.*)(?:\n[ \t].*)*)", stanza, re.MULTILINE)}
        if fields.get("enabled", "yes").strip().lower() not in ("no", "false", "without", "off", "disable", "0"):
            yield from fields.get("uris", "").split()
