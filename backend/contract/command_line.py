"""What is wrong on a command line, in one form for every verb: what, where, what to do; exit code 2."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

EXIT_CODE = 2
_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
_REQUIRED = "the following arguments are required: "
_CHOICES = "(choose from "
_NO_VALUE = "expected one argument"


def wrong(text: str, *hints: str) -> str:
    """A complaint as it stands on stderr; hints that are "" are left out."""
    return "\n  ".join((f"codetainer: {text}", *filter(None, hints))) + "\n"


def nearest(word: str, known: Iterable[str]) -> str:
    """The one that was probably meant, "" where none is near."""
    return next(iter(difflib.get_close_matches(word, list(known), 1)), "")


class Parser(argparse.ArgumentParser):
    """argparse with that form, and without abbreviations: they would change their meaning with the next option."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **given})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What is not known is said here: argparse leaves it to the parser above a verb's, which knows nothing of the verb."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self._refuse(rest[0])
        return found, rest

    def error(self, message: str, *hints: str) -> NoReturn:
        what = message.removeprefix("argument ")
        before, choices, after = what.partition(_CHOICES)
        what = f"{before}{choices}{after.replace(chr(39), '')}"  # Python 3.12 and newer quote none of them
        if message.startswith(_REQUIRED):
            what = f"{message.removeprefix(_REQUIRED)} is missing"
        elif message.endswith(_NO_VALUE):
            hints = (*hints, "a value that begins with a dash is given as --OPTION=VALUE")
        verb = self.prog.removeprefix("codetainer ")
        sys.stderr.write(wrong(f"cannot run {verb}: {what}", *hints, " ".join(self.format_usage().split())))
        sys.exit(EXIT_CODE)

    def _refuse(self, word: str) -> NoReturn:
        option = word.partition("=")[0]
        if option.startswith("-"):
            near = nearest(option, _OPTION.findall(self.format_help()))
            self.error(f"there is no option {option}", f"did you mean {near}?" if near else "")
        takes_command = "-- COMMAND" in self.format_usage()
        self.error(f"{word!a} is more than it takes", f"a COMMAND goes after --: -- {word}" if takes_command else "")
