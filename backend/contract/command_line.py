"""The command line: its parser, whose errors end with the usage (exit code 2), and descriptions."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from backend.contract.verbs import EXIT_CODE, nearest, wrong

_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
_REQUIRED = "the following arguments are required: "
_CHOICES = "(choose from "


def summary(description: str) -> str:
    """The first sentence of a description as an overview lists it: without its capital and its full stop."""
    sentence = re.split(r"\.\s+(?=[A-Z])", description, maxsplit=1)[0].removesuffix(".")
    return sentence[:1].lower() + sentence[1:]


class Parser(argparse.ArgumentParser):
    """argparse with that form of error, and without abbreviations: their meaning would change with the next option."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Reports unknown words here: argparse leaves them to the parser above a verb's, which does not know the verb."""
        options, rest = super().parse_known_args(self._with_values(sys.argv[1:] if args is None else args), namespace)
        if rest:
            self._refuse(rest[0])
        return options, rest

    def _with_values(self, words: Iterable[str]) -> list[str]:
        """Joins an option and a value that begins with a dash: argparse would take the value for an option, not check it."""
        flags = {flag: action for action in self._actions for flag in action.option_strings}
        joined: list[str] = []
        for word in words:
            action = flags.get(joined[-1]) if joined and "--" not in joined else None
            takes_value = action is not None and action.nargs is None
            if takes_value and len(word) > 1 and word.startswith("-") and word != "--" and word.partition("=")[0] not in flags:
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return joined

    def error(self, message: str, *hints: str) -> NoReturn:
        what = message.removeprefix("argument ")
        before, choices, after = what.partition(_CHOICES)
        what = f"{before}{choices}{after.replace(chr(39), '')}"  # Python 3.12 and newer quote none of them
        if message.startswith(_REQUIRED):
            what = f"{message.removeprefix(_REQUIRED)} is missing"
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
