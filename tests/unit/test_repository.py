"""Rules of the repository that no linter checks."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from codetainer_tui import cli
from tests.documentation import ROOT, documents

MAX_LINES = 300
BUILT = {line.strip("/") for line in (ROOT / ".gitignore").read_text().split()} | {".git"}
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".conf",
    ".template",
    ".tcss",
    ".sh",
    ".json",
    ".go",
    ".mod",
    ".yml",
    ".yaml",
    ".jsonl",
    ".svg",
    "",
}
HOSTS = re.compile(
    r"registry\.npmjs|registry\.yarnpkg|\bpypi\.(org|python)|pythonhosted\.|proxy\.golang\.|sum\.golang\.|(deb|security)\.debian\.|"
    r"archive\.ubuntu\.|(static|index)?\.?crates\.io|repo1?\.maven|repo\.maven"
)
PLACES = re.compile(r"/work/[a-z.]|/root/\.|/home/(?!cla|\$)[a-z]+|/opt/wheels|/tmp/bash_jobs")
SECRETS = re.compile(
    r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60}|sk-ant-[a-z]+[0-9]{2}-[A-Za-z0-9_-]{40}|AKIA[A-Z0-9]{16}|"
    r"BEGIN ([A-Z]+ )?PRIVATE KEY-----\n[A-Za-z0-9+/]"
)


def walk(folder: Path) -> Iterator[Path]:
    """Yields the tracked files by reading .gitignore, because a unit test may not start git."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        ignored = entry.name in BUILT or any(entry.name.endswith(name[1:]) for name in BUILT if name.startswith("*"))
        if ignored or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from walk(Path(entry.path))
        else:
            yield Path(entry.path)


FILES = tuple(walk(ROOT))
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in FILES if path.suffix in TEXT}
MODULES = {name: text for name, text in TEXTS.items() if name.endswith(".py")}
LAUNCHERS = [path for path in FILES if path.parent.name == "launchers" or path.parent.name == ".ci"]


def matches(pattern: re.Pattern[str]) -> list[str]:
    """Lists the matches of a pattern in all files but this one."""
    own = str(Path(__file__).relative_to(ROOT))
    return [
        f"{name}:{number}: {match[0]}"
        for name, text in TEXTS.items()
        if name != own
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]


def too_long(text: str) -> bool:
    """True if a module exceeds MAX_LINES and has no line at its top that explains why."""
    lines = text.splitlines()
    return len(lines) > MAX_LINES and not any(line.startswith(("Length: ", '"""Length: ')) for line in lines[:20])


def test_modules_are_short_or_say_why_not() -> None:
    assert [f"{name}: {len(text.splitlines())} lines" for name, text in MODULES.items() if too_long(text)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("x\n" * 300, False), ("x\n" * 301, True), ('"""A.\n\nLength: one table.\n"""\n' + "x\n" * 301, False)],
)
def test_too_long(text: str, expected: bool) -> None:
    assert too_long(text) is expected


def test_no_package_registry_is_named() -> None:
    assert matches(HOSTS) == []


def test_no_path_of_a_developers_machine_is_named() -> None:
    assert matches(PLACES) == []


def test_no_secret_is_kept() -> None:
    assert matches(SECRETS) == []


@pytest.mark.parametrize(
    ("pattern", "caught", "passed"),
    [
        (HOSTS, "https://registry." + "npmjs.org/x", "npm.pkg.github.com"),
        (HOSTS, "index-url = https://py" + "pi.org/simple", "PyPI"),
        (PLACES, "/wor" + "k/main", "/workspace/repo"),
        (PLACES, "/home/" + "somebody/x", "/home/claude/.claude"),
        (SECRETS, "ghp_" + "a" * 36, "ghp_short"),
        (SECRETS, "sk-ant-" + "oat01-" + "a" * 40, "sk-ant-oat01-dummy"),
    ],
)
def test_the_patterns_match_what_they_should(pattern: re.Pattern[str], caught: str, passed: str) -> None:
    assert pattern.search(caught)
    assert not pattern.search(passed)


def test_launchers_are_executable_and_name_their_interpreter() -> None:
    assert LAUNCHERS
    for path in LAUNCHERS:
        assert os.access(path, os.X_OK), f"{path} is not executable"
        assert path.read_text().startswith("#!/"), f"{path} has no interpreter"


def test_python_is_isolated_wherever_it_is_started() -> None:
    """Without -I, Python would import the agent's modules from the working directory before ours."""
    starts = re.compile(r"python3(?! -I)(?= -[mcS]\b)|^#!.*python3?$")
    shipped = {name: text for name, text in TEXTS.items() if name.startswith(("backend/launchers/", "claude-settings"))}
    assert [name for name, text in shipped.items() if any(starts.search(line) for line in text.splitlines())] == []


def test_every_verb_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    verbs = re.findall(r"^  (?!codetainer)([a-z-]+) ", capsys.readouterr().out, re.MULTILINE)
    assert {"boot", "up", "status", "allow"} <= set(verbs)
    text = "\n".join(path.read_text() for path in documents())
    assert [verb for verb in verbs if f"codetainer {verb}" not in text] == []


def test_the_top_folder_has_only_known_entries() -> None:
    folders = {"codetainer_tui", "backend", "network", "tests", "docs", "findings", ".github", ".ci"}
    files = {
        "Makefile",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CLAUDE.md",
        "Dockerfile",
        "pyproject.toml",
        "claude-settings.json",
    }
    dotted = {".gitignore", ".dockerignore", ".gitattributes"}
    assert {name.split("/")[0] for name in (str(path.relative_to(ROOT)) for path in FILES)} <= folders | files | dotted
