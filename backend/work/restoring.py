"""Commands that restore saved work beside an operator's clone, without changing that clone."""

from __future__ import annotations

from collections.abc import Sequence

from backend.contract import shell

MAX_NAMED = 20
# A relative core.hooksPath in the operator's configuration, as husky sets it, would run the agent's files (githooks(5)).
SAFE_GIT = "git -c core.hooksPath=/dev/null"


def command(name: str, *, staged: bool, converted: Sequence[str] = ()) -> str:
    """Returns a shell command for a clone in which the commit has this name, a word without special characters.

    It makes a work tree beside the clone's own. Switching the clone to the commit would overwrite ignored files, such as a
    .env, with files of the same name that the agent has committed: git keeps no copy of them. The bytes of `converted` files
    come from the commit itself: no option of git 2.39 makes a checkout ignore the attributes of a tree.
    """
    apply = f"{SAFE_GIT} -C ../work stash apply"
    applied = f"{apply} --index {name}" if staged else f"{apply} {name} && {SAFE_GIT} -C ../work reset --quiet"
    written = [
        f"git cat-file blob {shell.word(f'{name}:{file}')} > {shell.word(f'../work/{file}')}" for file in _nameable(converted)
    ]
    return " && ".join((f"{SAFE_GIT} worktree add --detach ../work {name}^1", applied, *written))


def differing(name: str, converted: Sequence[str]) -> str:
    """Returns a sentence about the `converted` files that the command does not write; "" if it writes all."""
    more = len(converted) - len(_nameable(converted))
    if not more:
        return ""
    files = "1 more file" if more == 1 else f"{more} more files"
    return f"git converts {files} on checkout (.gitattributes); for the saved bytes: git cat-file blob {name}:FILE"


def _nameable(files: Sequence[str]) -> list[str]:
    """Returns the files that a command names: the first MAX_NAMED with printable names."""
    return [file for file in files if file.isprintable()][:MAX_NAMED]
