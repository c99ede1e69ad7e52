"""The fields of a request that the command line fills, each with its argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

from backend.contract import durations
from backend.contract.immutable import dataclass

ARGUMENT = "argument"  # key in a field's metadata


@dataclass(frozen=True, slots=True)
class Argument:
    """The argument that fills a field. `flag` is "" for a positional argument, `metavar` is "" for a switch.

    `read` turns the typed text into the field's value. It raises ValueError with a message for the operator.
    """

    metavar: str = ""
    flag: str = ""
    help: str = ""
    read: Callable[[str], Any] = str
    optional: bool = False  # a positional argument that may be left out

    @property
    def usage(self) -> str:
        if self.optional:
            return f"[{self.metavar}]"
        return (
            f"[{self.flag} {self.metavar}]" if self.flag and self.metavar else f"[{self.flag}]" if self.flag else self.metavar
        )


def positional(metavar: str, text: str = "") -> Any:
    return field(metadata={ARGUMENT: Argument(metavar, help=text)})


def optional(metavar: str, text: str) -> Any:
    return field(default="", metadata={ARGUMENT: Argument(metavar, help=text, optional=True)})


def option(flag: str, metavar: str, text: str, default: Any = "", read: Callable[[str], Any] = str) -> Any:
    return field(default=default, metadata={ARGUMENT: Argument(metavar, flag, text, read)})


def switch(flag: str, text: str) -> Any:
    return field(default=False, metadata={ARGUMENT: Argument(flag=flag, help=text)})


def duration(text: str) -> float:
    try:
        return durations.read(text)
    except ValueError as error:
        raise ValueError(f"{error}; without --for there is no end") from error
