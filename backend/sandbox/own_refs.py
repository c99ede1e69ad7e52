"""Names for the branches that come back from a sandbox: refs/heads/codetainer/NAME/BRANCH. Pure.

The agent chose BRANCH. A name that git, a shell, a screen or a file system that ignores case could misread is replaced, and no
name is given twice. Source: git-check-ref-format(1).
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable

from backend.work import refs

BELOW = "refs/heads/codetainer"  # the refs of all sandboxes
MAX_NAME = 180  # bytes of a branch's name: a file system allows 255 for a file, and git adds .lock
REPLACED = 40  # characters that are kept of a name that is replaced


class Taken:
    """The refs that exist, and the names that were given away since."""

    def __init__(self, existing: Iterable[str]) -> None:
        self._refs: set[str] = set()
        self._folders: dict[str, str] = {}  # by folded name
        for name in existing:
            self._add(name)

    def _add(self, name: str) -> None:
        self._refs.add(_folded(name))
        above = name
        while above := above.rpartition("/")[0]:
            self._folders.setdefault(_folded(above), above)

    def free(self, sandbox: str, branch: str) -> str:
        """A ref for a branch that clashes with no other, also if a file system ignores case. Nobody else gets it afterwards.

        If a part of the name is taken, that part gets a number.
        """
        name, *parts = plain(sandbox, branch).split("/")
        for part in parts[:-1]:
            name = next(folder for folder in _numbered(f"{name}/{part}") if self._usable_folder(folder))
        name = next(ref for ref in _numbered(f"{name}/{parts[-1]}") if self._usable_ref(ref))
        self._add(name)
        return name

    def _usable_folder(self, name: str) -> bool:
        """True if refs may be put below this name: it is no ref itself, and no folder of another spelling exists."""
        return _folded(name) not in self._refs and self._folders.get(_folded(name), name) == name

    def _usable_ref(self, name: str) -> bool:
        return _folded(name) not in self._refs and _folded(name) not in self._folders


def plain(sandbox: str, branch: str) -> str:
    """The ref of a branch if nothing clashes."""
    return f"{below(sandbox)}/{clean(branch)}"


def below(sandbox: str) -> str:
    """The refs of one sandbox. `a..b` and `a.lock` are names of sandboxes, but not parts of a ref."""
    return f"{BELOW}/{sandbox if not refs.INVALID.search(sandbox) else refs.component(sandbox, ())}"


def clean(branch: str) -> str:
    """The branch's name, if it is valid and printable, else one made of its letters, digits and hyphens."""
    valid = (
        branch.isprintable()
        and not refs.INVALID.search(branch)
        and not branch.startswith("-")
        and branch not in ("HEAD", "@")
        and len(branch.encode()) <= MAX_NAME
        and all(part not in ("", "@") and not part.endswith(".") for part in branch.split("/"))
    )
    made = branch if valid else refs.component(branch, ())[:REPLACED].strip("-")
    return made if made not in ("", "HEAD") else "branch"


def _numbered(name: str) -> Iterable[str]:
    return (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))


def _folded(name: str) -> str:
    """The form in which a file system that ignores case may compare names (APFS, NTFS)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
