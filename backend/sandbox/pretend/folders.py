"""Folders of this machine that names of the pretend internet serve, for example as a package registry."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from urllib.parse import unquote

INDEX = "index.html"  # of a path that ends with a slash


def file(folder: Path, path: str) -> tuple[bytes, str] | None:
    """Returns the content and type of the file at a URL's path, None if the folder has none. Never leaves the folder."""
    name = unquote(path).lstrip("/") + (INDEX if path.endswith("/") else "")
    if "\0" in name:
        return None
    found = (folder / name).resolve()
    if not found.is_relative_to(folder.resolve()) or not found.is_file():
        return None
    return found.read_bytes(), mimetypes.guess_type(found.name)[0] or "application/octet-stream"
