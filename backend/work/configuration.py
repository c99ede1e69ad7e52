"""Reads remotes and ignore patterns from the agent's git configuration. They are data: git runs with none of these settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from backend.work.git import last_line, parts
from backend.work.place import contents
from backend.work.scratch import Workshop

MAX_BYTES = 16 << 20  # git writes about 100 bytes for each branch
TRUE = ("true", "yes", "on", "1")  # git-config(1), "Values"


def read(workshop: Workshop, file: Path) -> tuple[list[tuple[str, str]], str]:
    """Returns the keys and values of one configuration file, and why part of it could not be read ("" if all of it was).

    Does not follow includes. Raises SystemFailure, and OSError for our own folders.
    """
    copy = workshop.new() / "config"
    try:
        content = contents(file)
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], error.strerror or str(error)
    if content is None or len(content) > MAX_BYTES:
        return [], "not a regular file, or too large"
    copy.write_bytes(content)
    done = workshop.git.answer("config", "--file", str(copy), "--no-includes", "-z", "--list")
    entries = []
    for entry in parts(done.out):
        key, separator, value = entry.partition("\n")
        entries.append((key, value if separator else "true"))  # git-config(1), "Values"
    return entries, "" if done.code == 0 else last_line(done).replace(str(copy), str(file))


def ignored(workshop: Workshop, entries: Mapping[str, str], common: Path | None) -> tuple[list[bytes], list[str]]:
    """Returns the agent's ignore patterns from outside .gitignore files, and notes on unreadable files.

    The repository's patterns come last and take precedence. core.excludesFile is read from the repository's configuration or
    else from ~/.gitconfig. Source: gitignore(5).
    """
    value = entries.get("core.excludesfile", "")
    if not value:
        user_entries, _ = read(workshop, workshop.home / ".gitconfig")
        value = dict(user_entries).get("core.excludesfile", "")
    file = workshop.home / ".config/git/ignore"
    if value:
        file = workshop.home / value.removeprefix("~/") if value.startswith("~/") else Path(value)
    patterns, notes = [], []
    for path in (file if file.is_absolute() else None, common and common / "info/exclude"):
        try:
            content = contents(path) if path else b""
        except OSError:
            content = b""  # fewer patterns: more files count as work
        if content is None:
            notes.append(f"{path} cannot be read (not a regular file, or too large): files that it ignores count as work")
        patterns.append(content or b"")
    return patterns, notes
