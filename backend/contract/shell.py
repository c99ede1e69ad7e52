"""Quotes words for command lines that the operator pastes into a shell. The agent may have chosen them: they may be hostile."""

from __future__ import annotations

import shlex

QUOTED = "'\\"  # special characters between $' and '


def word(text: str) -> str:
    """Quotes any text as one argument, so that neither a shell nor a terminal interprets any of it.

    Unprintable text (control characters, line feeds, direction marks, invalid UTF-8) is escaped in `$'...'`, which bash, zsh,
    ksh, busybox and POSIX.1-2024 (Issue 8, XCU 2.2.4) support; dash 0.5.12 does not.
    """
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(_escaped(character, QUOTED) for character in text)}'"


def command(*words: str) -> str:
    """A command line from these words, quoted."""
    return " ".join(map(word, words))


def file(name: str) -> str:
    """Quotes a file name so that it cannot be taken for an option."""
    return word(f"./{name}" if name.startswith("-") else name)


def printf(text: str) -> str:
    """A printf(1) command that writes exactly this text."""
    form = "".join(_escaped(character, "\\") for character in text).replace("%", "%%")
    if form.startswith("-"):
        form = f"\\055{form[1:]}"  # a dash would begin an option
    return f"printf {shlex.quote(form)}"


def _escaped(character: str, special: str) -> str:
    if character in special:
        return f"\\{character}"
    if character.isprintable():
        return character
    # Three octal digits: a hexadecimal escape would swallow digits that follow it.
    undecodable = 0xDC80 <= ord(character) <= 0xDCFF  # stands for a byte (PEP 383)
    data = character.encode(errors="surrogateescape" if undecodable else "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in data)
