"""Declarations of settings: environment variable and field in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, cast

from backend.contract.immutable import dataclass

T = TypeVar("T")
_VARIABLE = "variable"  # the key in a field's metadata


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable. `make docs` writes the table of variables from these.

    `read` converts its text and raises ValueError, or an error that lists problems. `default` is text, too; None means that the
    variable is required, "" that it is optional, with the value `unset`. The value of a `secret` is never shown. `example` goes
    into the documentation if `expected` is not clear enough. `field` names the field of Settings; it is "" for a secret, which
    `Secrets` holds by variable.
    """

    name: str
    meaning: str
    read: Callable[[str], Any]
    default: str | None = None
    expected: str = ""
    secret: bool = False
    example: str = ""
    unset: Any = ""
    field: str = ""


def setting(
    name: str,
    meaning: str,
    read: Callable[[str], T],
    default: str,
    expected: str = "",
    *,
    unset: T | None = None,
    example: str = "",
    secret: bool = False,
) -> T:
    """Declares a field of a settings class and its variable. mypy compares the field's type with the result of `read`."""
    variable = Variable(name, meaning, read, default, expected, secret, example=example, unset=unset)
    return cast("T", dataclasses.field(metadata={_VARIABLE: variable}))


def declared(settings: type) -> tuple[Variable, ...]:
    """The variables of the fields that a class declares with `setting`, in order."""
    by_field = ((field.name, field.metadata.get(_VARIABLE)) for field in dataclasses.fields(settings))
    return tuple(dataclasses.replace(variable, field=name) for name, variable in by_field if variable is not None)
