"""The check of commit subjects that `make lint` runs."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
from types import ModuleType

import pytest

from tests.documentation import ROOT


def script() -> ModuleType:
    """Imports the program .ci/commits, which has no suffix, as a module."""
    loader = importlib.machinery.SourceFileLoader("commits", str(ROOT / ".ci/commits"))
    spec = importlib.util.spec_from_loader("commits", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


COMMITS = script()
LONGEST = "gate: " + "x" * 66


@pytest.mark.parametrize(
    "subject",
    [
        "gate: drop cookies in both directions instead of refusing them",
        "settings: declare each with its variable and build them by keyword",
        "tests/netns: wait for the journal",
        "dns, gate: apply one allowlist",
        "ci: run lint under Python 3.11 and 3.13",
        "docs: say what `T` is: a file, a node id or an expression",
        LONGEST,
        "Merge branch 'main' into feature",
        "Merge pull request #7 from example/feature",
        'Revert "The guard refuses at once what is no question for a host\'s address, and says so to whoever asks it"',
        'Reapply "gate: drop cookies"',
    ],
)
def test_valid_subjects(subject: str) -> None:
    assert COMMITS.problem(subject) == ""


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        (LONGEST + "x", "73 characters, expected at most 72"),
        ("Drop cookies in both directions", "no area"),
        ("drop cookies in both directions", "no area"),
        ("gate:drop cookies", "no area"),
        ("gate : drop cookies", "no area"),
        ("Gate: drop cookies", "no area"),
        ("the gate: drop cookies", "no area"),
        ("fixup! gate: drop cookies", "no area"),
        ("gate: ", "no area"),
        ("", "no area"),
        ("gate: Drop cookies", "a capital letter after the area"),
        ("gate: the cookies are dropped", "no verb after the area: 'the'"),
        ("gate: nothing passes", "no verb after the area: 'nothing'"),
        ("gate: drop cookies.", "a full stop at the end"),
        ("Merged by hand", "no area"),
    ],
)
def test_invalid_subjects(subject: str, why: str) -> None:
    assert COMMITS.problem(subject).startswith(why)


def test_the_rule_is_documented() -> None:
    text = (ROOT / "docs/style.md").read_text()
    assert f"at most {COMMITS.MAX_LENGTH} characters" in text
    examples = re.search(r"<!-- subjects -->\n\n(.*?)(\n\n|\Z)", text, re.DOTALL)
    assert examples is not None
    rows = [tuple(cell.strip(" `") for cell in line.strip("|").split(" | ")) for line in examples[1].splitlines()[2:]]
    assert len(rows) >= 3
    assert [preferred for _, preferred in rows if COMMITS.problem(preferred)] == []
    assert [avoided for avoided, _ in rows if not COMMITS.problem(avoided)] == []
