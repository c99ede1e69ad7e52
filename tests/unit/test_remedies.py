"""Every remedy in the code is one imperative sentence, so that it reads well after any introduction."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("backend", "network", "codetainer_tui") for path in (ROOT / folder).rglob("*.py"))
# The position of the remedy in a call that does not pass it by keyword.
PLACES = {"StepFailed": 1, "StepWarned": 1, "SystemFailure": 1, "Reply": 2, "EntryError": 3, "Problem": 5, "Requirement": 3}
KEYWORDS = ("hint", "remedy")
CONSTANTS = re.compile(r"(_?REMEDY|[A-Z_]+_HINT|HOW_LONG|KERNEL)\Z")
FUNCTIONS = re.compile(r"remedy|other_resolvers|_how_to_close\Z")
VERBS = frozenset((
    "Ask", "Check", "Correct", "Give", "Install", "Log", "Look", "Lower", "Make", "Mount", "Name", "Press", "Put", "Raise",
    "Repeat", "Run", "Set", "Start", "Take", "Use", "Wait", "Write",
))  # fmt: skip
VARIABLE = "…"


def texts(node: ast.expr) -> Iterator[str]:
    """Yields the texts that an expression can have, with VARIABLE for variable parts. Names are checked where they are set."""
    match node:
        case ast.Constant(value=str(text)) if text:
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else VARIABLE for part in parts)
        case ast.BinOp(op=ast.Add()):
            yield "".join(next(texts(side), VARIABLE) for side in (node.left, node.right))
        case ast.IfExp():
            yield from (*texts(node.body), *texts(node.orelse))


def flattened(node: ast.expr) -> str:
    """Returns the text of a concatenation with `+`."""
    if isinstance(node, ast.BinOp):
        return flattened(node.left) + flattened(node.right)
    return next(texts(node), VARIABLE)


def remedies(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields the line and the text of every remedy in a module."""
    for node in ast.walk(tree):
        expressions: list[ast.expr] = []
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=arguments, keywords=keywords):
                if name in PLACES and len(arguments) > PLACES[name]:
                    expressions.append(arguments[PLACES[name]])
                expressions += [keyword.value for keyword in keywords if keyword.arg in KEYWORDS]
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if CONSTANTS.match(name) or name == "remedy":
                expressions.append(value)
            case ast.FunctionDef(name=name) if FUNCTIONS.match(name):
                returns = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
                expressions += [value for value in returns if value is not None]
        for expression in expressions:
            for text in [flattened(expression)] if isinstance(expression, ast.BinOp) else texts(expression):
                yield expression.lineno, text


def wrong(text: str) -> str:
    """Returns the problem with a remedy; "" if it has none."""
    first = text.split(" ", 1)[0]
    if first not in VERBS:
        return f"it begins with {first!r}"
    if not text.endswith("."):
        return "it does not end with a full stop"
    return "it is more than one sentence" if re.search(r"[.!?] [A-Z]", text) else ""


FOUND = [(f"{path.relative_to(ROOT)}:{line}", text) for path in SOURCES for line, text in remedies(ast.parse(path.read_text()))]


@pytest.mark.parametrize(("place", "text"), FOUND, ids=[place for place, _ in FOUND])
def test_a_remedy_is_one_imperative_sentence(place: str, text: str) -> None:
    assert wrong(text) == "", f"{place}: {text}"


def test_remedies_are_found_in_every_kind_of_expression() -> None:
    assert len(FOUND) > 60
    module = ast.parse(
        "REMEDY = 'a'\n"
        "raise StepFailed('x', f'b {c}')\n"
        "raise SystemFailure('x', hint='d')\n"
        "Reply(False, 'x', 'e' if y else 'f')\n"
        "def remedy():\n    return 'g' + h + '.'\n"
    )
    assert sorted(text for _, text in remedies(module)) == ["a", "b …", "d", "e", "f", "g…."]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Run codetainer check.", ""),
        ("codetainer logs says how CoreDNS is", "it begins with 'codetainer'"),
        ("Is the machine on the network?", "it begins with 'Is'"),
        ("Run codetainer check", "it does not end with a full stop"),
        ("Run codetainer check. It names what is missing.", "it is more than one sentence"),
    ],
)
def test_wrong(text: str, problem: str) -> None:
    assert wrong(text) == problem
