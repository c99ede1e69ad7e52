"""Answers to GraphQL queries from a tree of values: only the fields that a query selects, because some clients reject others.

Source: GraphQL specification, October 2021. It reads what real clients send, and checks nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(r'\s+|,|#[^\n]*|"(?:[^"\\]|\\.)*"|\.\.\.|[A-Za-z_]\w*|-?\d[\d.eE+-]*|[!$&()\[\]{}:=|@]')


@dataclass(slots=True)
class Selection:
    """A selected field with its alias and arguments; or, with `kind`, a fragment on a type (`named`: its name)."""

    alias: str = ""
    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    inner: list[Selection] = field(default_factory=list)
    kind: str = ""
    named: str = ""


class Reader:
    """Parses a document; `selected` are the fields of its first operation. Raises ValueError or IndexError."""

    def __init__(self, text: str, variables: Mapping[str, Any]) -> None:
        self._tokens = list(self._split(text))
        self._at, self._variables = 0, variables
        self.fragments: dict[str, Selection] = {}
        self.selected: list[Selection] = []
        while self._at < len(self._tokens):
            if self._peek() == "fragment":
                self._at += 1
                name, _, kind = self._take(), self._take(), self._take()
                self._skip_directives()
                self.fragments[name] = Selection(kind=kind, inner=self._selections())
                continue
            while self._peek() != "{":
                if self._take() == "(":
                    self._skip()
            self.selected = self.selected or self._selections()

    @staticmethod
    def _split(text: str) -> Iterator[str]:
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"cannot parse {text[at : at + 20]!r}")
            at = match.end()
            if not re.match(r"[\s,#]", match[0]):
                yield match[0]

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _skip(self) -> None:
        """Skips the definitions of variables, up to the closing bracket."""
        while self._take() != ")":
            pass

    def _skip_directives(self) -> None:
        while self._peek() == "@":
            self._at += 2
            if self._peek() == "(":
                self._at += 1
                self._arguments(")")

    def _selections(self) -> list[Selection]:
        found = []
        self._take()
        while self._peek() != "}":
            found.append(self._selection())
        self._take()
        return found

    def _selection(self) -> Selection:
        one = Selection()
        word = self._take()
        if word == "...":
            if self._peek() == "on":
                self._at += 1
                one.kind = self._take()
            else:
                one.named = self._take()
        else:
            one.alias = one.name = word
            if self._peek() == ":":
                self._at += 1
                one.name = self._take()
        if self._peek() == "(":
            self._at += 1
            one.arguments = self._arguments(")")
        self._skip_directives()
        if self._peek() == "{":
            one.inner = self._selections()
        return one

    def _arguments(self, end: str) -> dict[str, Any]:
        found = {}
        while self._peek() != end:
            name, _ = self._take(), self._take()
            found[name] = self._value()
        self._take()
        return found

    def _value(self) -> Any:
        word = self._take()
        if word == "$":
            return self._variables.get(self._take())
        if word == "{":
            return self._arguments("}")
        if word == "[":
            items = []
            while self._peek() != "]":
                items.append(self._value())
            self._take()
            return items
        if word[0] == '"':
            return word[1:-1]
        return int(word) if word.lstrip("-").isdigit() else word


def answer(query: str, variables: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The selected fields of `root`. A value may be a function of the arguments; fields that it lacks are null.

    Raises ValueError or IndexError if the query cannot be parsed.
    """
    reader = Reader(query, variables)
    return _object(reader.selected, root, reader.fragments)


def _object(selected: list[Selection], value: Mapping[str, Any], fragments: Mapping[str, Selection]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in selected:
        fragment = fragments.get(one.named, one) if one.named else one
        if one.alias:
            known = value.get(one.name)
            known = known(one.arguments) if callable(known) else known
            found[one.alias] = _value(one.inner, known, fragments)
        elif value.get("__typename") in (None, fragment.kind) or not fragment.kind[:1].isupper() or fragment.kind in INTERFACES:
            found |= _object(fragment.inner, value, fragments)
    return found


INTERFACES = frozenset(("RepositoryNode", "Node", "Actor", "Labelable", "Assignable"))


def _value(selected: list[Selection], value: Any, fragments: Mapping[str, Selection]) -> Any:
    if isinstance(value, list):
        return [_value(selected, item, fragments) for item in value]
    return _object(selected, value, fragments) if isinstance(value, Mapping) and selected else value
