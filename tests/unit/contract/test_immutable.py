"""The shared methods of immutable values: as those that the standard library compiles for each class."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from backend import contract
from backend.contract.immutable import dataclass

EMPTY: Mapping[str, int] = {}


def classes(decorator: Callable[..., Any]) -> tuple[type[Any], type[Any], type[Any]]:
    @decorator(frozen=True, slots=True)
    class Base:
        kind: ClassVar[str] = "base"
        name: str

    @decorator(frozen=True, slots=True)
    class Value(Base):
        """A value."""

        kind: ClassVar[str] = "value"
        count: int = 1
        hidden: str = field(default="secret", repr=False)
        about: str = field(default="", compare=False)
        parts: Mapping[str, int] = field(default_factory=dict)

        def text(self) -> str:
            return f"{self.kind} {self.name}"

    @decorator(frozen=True, slots=True, kw_only=True)
    class Named:
        first: str
        second: str = ""

    return Base, Value, Named


OURS, STANDARD = classes(dataclass), classes(dataclasses.dataclass)
Base, Value, Named = OURS


@pytest.mark.parametrize(
    "use",
    [
        lambda base, value, named: repr(value("a", 2, hidden="b", parts={"c": 3})),
        lambda base, value, named: repr(base("a")),
        lambda base, value, named: repr(named(second="b", first="a")),
        lambda base, value, named: value(name="a").text(),
        lambda base, value, named: value("a") == value("a", 1, "secret", about="not compared"),
        lambda base, value, named: value("a") != value("a", 2),
        lambda base, value, named: (value("a") == "a", value("a") == base("a"), base("a") == value("a")),
        lambda base, value, named: hash(named(first="a")) == hash(named(first="a", second="")),
        lambda base, value, named: {base("a"), base("a"), base("b")} == {base("b"), base("a")},
        lambda base, value, named: repr(dataclasses.replace(value("a", 2), name="b")),
        lambda base, value, named: dataclasses.asdict(value("a", parts={"b": 1})),
        lambda base, value, named: [each.name for each in dataclasses.fields(value)],
        lambda base, value, named: value("a").parts is not value("a").parts,
        lambda base, value, named: (value.__match_args__, named.__match_args__),
        lambda base, value, named: (value.__slots__, value.__doc__),
        lambda base, value, named: str(inspect.signature(named)),
    ],
)
def test_values_are_used_as_those_of_the_standard_library(use: Callable[..., Any]) -> None:
    assert use(*OURS) == use(*STANDARD)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda base, value, named: base(), "name"),
        (lambda base, value, named: base("a", "b"), "twice|too many|positional"),
        (lambda base, value, named: base("a", name="b"), "twice|multiple values"),
        (lambda base, value, named: value("a", other=1), "other"),
        (lambda base, value, named: named("a"), "positional|too many"),
    ],
)
def test_wrong_arguments_are_type_errors(wrong: Callable[..., Any], named: str) -> None:
    for each in (OURS, STANDARD):
        with pytest.raises(TypeError, match=named):
            wrong(*each)


def test_values_do_not_change() -> None:
    for base, value, _ in (OURS, STANDARD):
        for one in (base("a"), value("a")):
            with pytest.raises(dataclasses.FrozenInstanceError):
                one.name = "b"
            with pytest.raises(dataclasses.FrozenInstanceError):
                del one.name
            with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):  # 3.11: TypeError from a class with slots
                one.other = "b"
            assert one.name == "a"
            assert not hasattr(one, "__dict__")


def test_classes_for_the_standard_library_are_errors() -> None:
    with pytest.raises(TypeError, match="only for frozen"):
        dataclass(frozen=False, slots=True)

    class Completes:
        def __post_init__(self) -> None: ...

    with pytest.raises(TypeError, match="__post_init__"):
        dataclass(frozen=True, slots=True)(Completes)


def test_the_contract_uses_only_this_decorator() -> None:
    """Every process imports the contract, so standard dataclasses in it cost each of them processor time."""
    for file in sorted(Path(contract.__path__[0]).glob("*.py")):
        if file.stem == "immutable":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
                assert "dataclass" not in {name.name for name in node.names}, file.name
