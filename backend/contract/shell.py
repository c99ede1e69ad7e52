"""Words of a command line that somebody pastes into a shell. Names in it may be the agent's, and hold anything."""

from __future__ import annotations

import shlex


def word(text: str) -> str:
    """One argument, whatever is in it: no shell expands or obeys any of it, and no terminal either.

    What cannot be printed (control characters, line feeds, direction marks, bytes that are no UTF-8) is escaped in `$'...'`,
    which bash, zsh, ksh, busybox and POSIX from 2024 on know (Issue 8, XCU 2.2.4); dash 0.5.12 does not.
    """
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"


def command(*words: str) -> str:
    """A command line of these words."""
    return " ".join(map(word, words))


def file(name: str) -> str:
    """As `word`, for a name that must not be taken for an option."""
    return word(f"./{name}" if name.startswith("-") else name)


def _escaped(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if character.isprintable():
        return character
    # Three octal digits: a hexadecimal escape would take the digits that follow for its own.
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))
