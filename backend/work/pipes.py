"""Finds pipes in a work tree that block git: it opens some files by name, and opening a pipe waits for a writer."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from backend.work.place import locate

MAX_ENTRIES = 2_000_000
IGNORES, ATTRIBUTES = ".gitignore", ".gitattributes"  # git opens them in every folder (its dir.c and attr.c)


def find(tree: Path) -> dict[str, str]:
    """Maps each folder or file below `tree` that git must not look at ("" for the tree itself) to the reason."""
    blocking: dict[str, str] = {}
    folders, left = [""], MAX_ENTRIES
    while folders and left > 0:
        folder = folders.pop()
        try:
            with os.scandir(tree / folder) as entries:
                for entry in entries:
                    left -= 1
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name == ".git":
                        if folder and _head_is_pipe(tree / folder):
                            blocking[folder] = f"{tree / folder} is left out: its HEAD is a pipe, which would block git"
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                    elif entry.name in (IGNORES, ATTRIBUTES) and stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode):
                        if entry.name == IGNORES:
                            why = f"{tree / name} is a pipe, which would block git"
                            blocking[folder] = f"untracked files in {tree / folder} are left out: {why}"
                        else:
                            blocking[name] = f"{tree / name} is a pipe: files are compared without regard to attributes"
        except OSError:
            continue  # closed or removed; git reports closed folders
    return blocking


def _head_is_pipe(folder: Path) -> bool:
    """True if HEAD of the repository in this folder is a pipe. git opens it to tell a repository from a folder (setup.c)."""
    place = locate(folder)
    return place is not None and place.own is not None and stat.S_ISFIFO((place.own / "HEAD").lstat().st_mode)
