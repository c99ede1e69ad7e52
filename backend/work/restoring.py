"""Commands that restore saved work beside an operator's clone, without changing that clone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from backend.contract import shell
from backend.contract.immutable import dataclass

MAX_NAMED = 20
# A relative core.hooksPath in the operator's configuration, as husky sets it, would run the agent's files (githooks(5)).
SAFE_GIT = "git -c core.hooksPath=/dev/null"


@dataclass(frozen=True, slots=True)
class Converted:
    """Files that git would change on checkout (Checkout.converted): those that a command may write, and how many others."""

    named: tuple[str, ...] = ()
    more: int = 0

    @classmethod
    def of(cls, files: Sequence[str], links: Iterable[str]) -> Converted:
        """Chooses the files to name: the first MAX_NAMED with printable names that no symbolic link of the tree can redirect.

        macOS and Windows may take two names that differ in case or in ignored characters for the same file. git checks that
        on checkout; a shell's redirection follows a link, to wherever the agent wants.
        """
        redirected = {_folded(link) for link in links}
        named = [file for file in files if file.isprintable() and "\\" not in file and not redirected & set(_above(file))]
        return cls(tuple(named[:MAX_NAMED]), len(files) - len(named[:MAX_NAMED]))


NONE_CONVERTED = Converted()


def _folded(path: str) -> str:
    """Returns a path in the form in which a file system that ignores case may compare it (HFS+, APFS, NTFS)."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", path) if unicodedata.category(c) != "Cf")
    return "/".join(part.rstrip(". ") for part in unicodedata.normalize("NFKC", visible.casefold()).split("/"))


def _above(path: str) -> Iterator[str]:
    """Yields a path and all folders above it, folded."""
    parts = _folded(path).split("/")
    yield from ("/".join(parts[: end + 1]) for end in range(len(parts)))


def command(name: str, *, staged: bool, converted: Converted = NONE_CONVERTED) -> str:
    """Returns a shell command for a clone in which the commit has this name, a word without special characters.

    It makes a work tree beside the clone's own. Switching the clone to the commit would overwrite ignored files, such as a
    .env, with files of the same name that the agent has committed: git keeps no copy of them. The bytes of `converted` files
    come from the commit itself: no option of git 2.39 makes a checkout ignore the attributes of a tree.
    """
    apply = f"{SAFE_GIT} -C ../work stash apply"
    applied = f"{apply} --index {name}" if staged else f"{apply} {name} && {SAFE_GIT} -C ../work reset --quiet"
    written = [
        f"git cat-file blob {shell.word(f'{name}:{file}')} > {shell.word(f'../work/{file}')}" for file in converted.named
    ]
    return " && ".join((f"{SAFE_GIT} worktree add --detach ../work {name}^1", applied, *written))


def differing(name: str, converted: Converted) -> str:
    """Returns a sentence about the files that the command does not write; "" if it writes all."""
    if not converted.more:
        return ""
    files = "1 more file" if converted.more == 1 else f"{converted.more} more files"
    return f"git converts {files} on checkout (.gitattributes); for the saved bytes: git cat-file blob {name}:FILE"
