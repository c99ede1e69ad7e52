"""Names of boot steps stay inside boot: what other code has to know of a step is a property of the step or of the state."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.boot.steps import plan

ROOT = Path(__file__).parents[4]
STEPS = frozenset(step.name for step in plan())
# These words mean nothing else in the sources. Others are also names of services, users, verbs and file systems.
ONLY_STEPS = frozenset(("clone", "list", "plugins", "readiness", "readonly", "rules"))
OTHER_USES = {  # of a word in ONLY_STEPS, as a whole string
    ("backend/sandbox/pretend/github.py", "rules"),  # a field of GraphQL
    ("backend/sandbox/pretend/repositories.py", "clone"),  # git clone
    ("backend/sandbox/pretend/repositories.py", "plugins"),  # a folder
    ("codetainer_tui/dashboard/keys.py", "list"),  # a key's label
}


def identifiers(*nodes: ast.AST) -> str:
    parts = (part for node in nodes for part in ast.walk(node))
    return " ".join(part.id if isinstance(part, ast.Name) else part.attr for part in parts
                    if isinstance(part, ast.Name | ast.Attribute))  # fmt: skip


def about_steps(tree: ast.AST) -> Iterator[ast.AST]:
    """Parts of a source whose strings, if they are names of steps, mean steps."""
    texts: list[ast.AST]
    for node in ast.walk(tree):
        match node:
            case ast.Compare() | ast.Subscript() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                context, texts = identifiers(node), [node]
            case ast.Match(subject=subject, cases=cases):
                context, texts = identifiers(subject), [case.pattern for case in cases]
            case ast.Call(func=function, args=arguments, keywords=keywords):
                context, texts = identifiers(function), [*arguments, *(keyword.value for keyword in keywords)]
            case _:
                continue
        if re.search(r"(?i)step|halted|bootfinished|planned", context):
            yield from texts


def names(tree: ast.AST, file: str) -> set[str]:
    """`line: word` for each string that names a step: by its context, or because the word means nothing else."""
    by_context = {id(node) for text in about_steps(tree) for node in ast.walk(text)}
    return {
        f"{node.lineno}: {node.value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        and node.value in (STEPS if id(node) in by_context else ONLY_STEPS)
        and (file, node.value) not in OTHER_USES
    }  # fmt: skip


SOURCES = [
    path
    for folder in ("backend", "codetainer_tui", "network")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if (ROOT / "backend/boot") not in path.parents
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_outside_boot_names_a_step(path: Path) -> None:
    assert names(ast.parse(path.read_text()), str(path.relative_to(ROOT))) == set()


@pytest.mark.parametrize(
    "source",
    [
        'cloned = state.steps.get("clone")',
        'if state.halted_step == "gate": pass',
        'match event.step:\n  case "guard": pass',
        'rebuild = ("readiness", "rules")',
        'emit(BootFinished(HALTED, 0.0, "names"))',
        'again = [state.steps[name] for name in ("closed", "gate")]',
    ],
)
def test_a_name_of_a_step_is_found(source: str) -> None:
    assert names(ast.parse(source), "x.py")


def test_the_words_are_those_of_steps() -> None:
    assert STEPS >= ONLY_STEPS
