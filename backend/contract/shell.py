"""Words of a command line that somebody pastes into a shell. Names in it may be the agent's, and hold anything."""

from __future__ import annotations

import shlex

QUOTED = "'\\"  # what means something between $' and '


def word(text: str) -> str:
    """One argument, whatever is in it: no shell expands or obeys any of it, and no terminal either.

    What cannot be printed (control characters, line feeds, direction marks, bytes that are no UTF-8) is escaped in `$'...'`,
    which bash, zsh, ksh, busybox and POSIX from 2024 on know (Issue 8, XCU 2.2.4); dash 0.5.12 does not.
    """
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(_escaped(character, QUOTED) for character in text)}'"


def command(*words: str) -> str:
    """A command line of these words."""
    return " ".join(map(word, words))


def file(name: str) -> str:
    """As `word`, for a name that must not be taken for an option."""
    return word(f"./{name}" if name.startswith("-") else name)


def printf(text: str) -> str:
    """A printf(1) that writes this text, whatever is in it."""
    form = "".join(_escaped(character, "\\") for character in text).replace("%", "%%")
    if form.startswith("-"):
        form = f"\\055{form[1:]}"  # a dash would begin an option
    return f"printf {shlex.quote(form)}"


def _escaped(character: str, special: str) -> str:
    if character in special:
        return f"\\{character}"
    if character.isprintable():
        return character
    # Three octal digits: a hexadecimal escape would take the digits that follow for its own.
    undecodable = 0xDC80 <= ord(character) <= 0xDCFF  # stands for a byte (PEP 383)
    data = character.encode(errors="surrogateescape" if undecodable else "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in data)
