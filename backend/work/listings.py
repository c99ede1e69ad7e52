"""Parses what git says about the files of a work tree. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from backend.system import Answered
from backend.work.git import parts

MAX_NAMED = 20
_CLOSED = re.compile(r"warning: could not open directory '(.*)/': (.*)")
_UNSEEN = re.compile(r"(.*): (Permission denied|Input/output error)\Z")


def raw(output: bytes) -> Iterable[tuple[str, int, str]]:
    """Yields name, mode and object in the index from `git diff-files --raw -z` (git-diff-files(1), "RAW OUTPUT FORMAT")."""
    fields = iter(parts(output))
    for description in fields:
        name = next(fields, None)
        if name is not None:
            mode, _, object_name, _, _ = description.removeprefix(":").split(" ")
            yield name, int(mode, 8), object_name


def staged(output: bytes) -> Iterable[tuple[str, int, str]]:
    """Yields name, mode and object of each entry of `git ls-files --stage -z`; no object for a conflict."""
    for entry in parts(output):
        fields, _, name = entry.partition("\t")
        mode, object_name, stage = fields.split(" ")
        yield name, int(mode, 8), object_name if stage == "0" else ""


def literally(folder: str) -> str:
    """Returns the pattern that matches only this folder (gitignore(5))."""
    return "/" + re.sub(r"([*?\[\\])", r"\\\1", folder) + "/"


def unseen(*done: Answered) -> tuple[str, ...]:
    """Returns notes about files that git could not examine, from its warnings."""
    notes = []
    for line in (line for answer in done for line in answer.err.splitlines()):
        if closed := _CLOSED.match(line):
            notes.append(f"{closed[1]}: cannot be opened: {closed[2]}")
        elif unseen := _UNSEEN.match(line):
            notes.append(f"{unseen[1]}: cannot be examined: {unseen[2]}")
    more = [f"more files or folders that cannot be examined: {len(notes) - MAX_NAMED}"] if len(notes) > MAX_NAMED else []
    return (*notes[:MAX_NAMED], *more)
