"""What is taken from the agent's git configuration: names of remotes and of ignored files. As data; nothing in it is obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from backend.work.git import last_line, parts
from backend.work.place import contents
from backend.work.scratch import Workshop

MAX_BYTES = 1 << 20
TRUE = ("true", "yes", "on", "1")  # git-config(1), "Values"


def read(workshop: Workshop, file: Path) -> tuple[list[tuple[str, str]], str]:
    """Keys and values of one configuration file, and why not all of it could be read. What it includes is not read.

    Raises SystemFailure, OSError (of our own folders).
    """
    copied = workshop.new() / "config"
    try:
        said = contents(file)
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], error.strerror or str(error)
    if said is None or len(said) > MAX_BYTES:
        return [], "it is no file, or too large"
    copied.write_bytes(said)
    done = workshop.git.answer("config", "--file", str(copied), "--no-includes", "-z", "--list")
    entries = []
    for entry in parts(done.out):
        key, valued, value = entry.partition("\n")
        entries.append((key, value if valued else "true"))  # git-config(1), "Values"
    return entries, "" if done.code == 0 else last_line(done).replace(str(copied), str(file))


def ignored(workshop: Workshop, entries: Mapping[str, str], common: Path | None) -> list[bytes]:
    """The patterns by which the agent ignores files beside .gitignore; those of the repository decide.

    Source: gitignore(5). The file's name comes from the repository's configuration or the agent's own.
    """
    named = entries.get("core.excludesfile", "")
    if not named:
        own, _ = read(workshop, workshop.home / ".gitconfig")
        named = dict(own).get("core.excludesfile", "")
    file = workshop.home / ".config/git/ignore"
    if named:
        file = workshop.home / named.removeprefix("~/") if named.startswith("~/") else Path(named)
    found = []
    for path in (file if file.is_absolute() else None, common and common / "info/exclude"):
        try:
            found.append((contents(path) if path else None) or b"")
        except OSError:
            found.append(b"")  # then more is kept
    return found
