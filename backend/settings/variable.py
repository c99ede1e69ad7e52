"""How a setting is declared: its environment variable and its field, in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

T = TypeVar("T")
_VARIABLE = "variable"  # the key in a field's metadata


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable. The documentation's table is made from these.

    `read` turns its text into a value; it raises ValueError, or an error that lists problems. `default` is text too: None means
    that the variable is required, "" that it may be missing, and then its value is `unset`. The value of a `secret` is never
    shown. `example` is for the documentation, if `expected` leaves a question open. `field` names its field of Settings; it is
    "" for a secret, which `Secrets` holds under the variable's own name.
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
) -> T:
    """Declares a field of a settings class with its variable. The type checker holds the field to what `read` returns."""
    variable = Variable(name, meaning, read, default, expected, example=example, unset=unset)
    return cast("T", dataclasses.field(metadata={_VARIABLE: variable}))


def declared(settings: type) -> tuple[Variable, ...]:
    """The variables of a class whose fields are declared with `setting`, in their order."""
    of_fields = ((field.name, field.metadata.get(_VARIABLE)) for field in dataclasses.fields(settings))
    return tuple(dataclasses.replace(variable, field=name) for name, variable in of_fields if variable is not None)
