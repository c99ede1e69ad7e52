"""`python3 -I -m backend suspension names | check | clear | aside`: what boot and the supervisor run as the agent."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from backend.suspension import listing
from backend.suspension.description import FOLDERS
from backend.suspension.members import Checker, Hostile

CHUNK = 1 << 20
MAX_NAMED = 200  # files that are left out, on stderr
LEFT_OUT, ENTRIES, MORE = "left out: ", "entries: ", "more: "  # the lines of `names` on stderr
BEFORE = ".before-resume"


def main(argv: Sequence[str]) -> int:
    try:
        match argv:
            case ["names", root]:
                return list_names(Path(root))
            case ["check", most, entries]:
                return check(int(most), int(entries))
            case ["clear", *names] if "--" in names:
                at = names.index("--")
                clear(map(Path, names[:at]), map(Path, names[at + 1 :]))
                return 0
            case ["aside", name]:
                _aside(Path(name))
                return 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    usage = "names ROOT | check BYTES ENTRIES | clear FOLDER... -- FILE... | aside FILE"
    sys.stderr.write(f"usage: python3 -I -m backend suspension {usage}\n")
    return 2


def list_names(root: Path) -> int:
    """Writes the names of the agent's files to stdout, each with a zero byte, and on stderr what it leaves out."""
    left_out: list[str] = []
    more = entries = 0

    def leave_out(text: str) -> None:
        nonlocal more
        if len(left_out) < MAX_NAMED:
            left_out.append(text)
        else:
            more += 1

    out = sys.stdout.buffer
    for name in listing.names(root, FOLDERS, leave_out):
        out.write(name + b"\0")
        entries += 1
    out.flush()
    lines = [*(f"{LEFT_OUT}{text}" for text in left_out), f"{MORE}{more}", f"{ENTRIES}{entries}"]
    sys.stderr.write("".join(f"{line.encode('unicode_escape').decode()}\n" for line in lines))
    return 0


def check(most: int, entries: int) -> int:
    """Copies a tar archive from stdin to stdout up to the first member that may not be restored."""
    checker = Checker(most, entries)
    try:
        while data := os.read(0, CHUNK):
            view = memoryview(checker.feed(data))
            while view:
                view = view[os.write(1, view) :]
        checker.finish()
    except Hostile as error:
        sys.stderr.write(f"refused: {error}\n".encode("unicode_escape").decode().replace("\\n", "\n"))
        return 1
    except BrokenPipeError:  # tar's own error says why
        return 0
    return 0


def clear(folders: Iterable[Path], files: Iterable[Path]) -> None:
    """Makes room for boot's own files in what was restored. Moves aside what is not a folder, or not a regular file.

    Raises OSError.
    """
    for folder in folders:
        if stat.S_ISDIR(mode := _mode(folder)):
            folder.chmod(stat.S_IMODE(mode) | 0o700)
        elif mode:
            _aside(folder)
    for file in files:
        if stat.S_ISREG(_mode(file)):
            file.chmod(stat.S_IMODE(_mode(file)) | 0o600)
        elif _mode(file):
            _aside(file)


def _mode(path: Path) -> int:
    """The type and mode of a file, 0 if there is none."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def _aside(path: Path) -> None:
    number = 0
    while _mode(other := path.with_name(f"{path.name}{BEFORE}{number or ''}")):
        number += 1
    path.rename(other)
