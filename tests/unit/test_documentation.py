"""The documents agree with the code."""

import re
from pathlib import Path

import pytest

from backend.boot.steps import plan
from backend.contract import events
from backend.sandbox import as_agent, check, enter, options, suspend
from backend.settings import VARIABLES
from backend.settings.variable import Variable
from backend.work import export
from codetainer_tui import arguments
from tests import documentation

DOCUMENTS = {str(path.relative_to(documentation.ROOT)): path for path in documentation.documents()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_blocks_are_up_to_date(name: str) -> None:
    text = DOCUMENTS[name].read_text()
    assert text == documentation.filled(text), "run `make docs`"


def test_the_page_of_the_night_is_up_to_date() -> None:
    assert documentation.NIGHT_PAGE.read_text() == documentation.night_page(), "run `make docs`"


def test_every_variable_is_documented() -> None:
    text = DOCUMENTS["docs/configuration.md"].read_text()
    assert [v.name for v in VARIABLES if f"| `{v.name}` |" not in text] == []


def test_the_essential_variables_are_in_the_readme() -> None:
    text = DOCUMENTS["README.md"].read_text()
    assert [name for name in documentation.ESSENTIAL if f"| `{name}` |" not in text] == []
    assert {v.name for v in VARIABLES if v.default is None} <= set(documentation.ESSENTIAL)


@pytest.mark.parametrize("variable", [v for v in VARIABLES if v.example], ids=lambda v: str(v.name))
def test_examples_of_variables_are_valid(variable: Variable) -> None:
    variable.read(variable.example)


def test_the_graph_of_boot_has_every_step_and_every_dependency() -> None:
    graph = documentation.boot_graph()
    arrows = {tuple(arrow) for arrow in re.findall(r"(\w+) --> (\w+)", graph)}

    def reached(name: str) -> set[str]:
        return {name}.union(*(reached(after) for before, after in arrows if before == name))

    for step in plan():
        assert f'{step.name}["{step.title}"]' in graph
        assert all(step.name in reached(need) for need in step.needs)


def help_of(verb: str, capsys: pytest.CaptureFixture[str]) -> str:
    backends = {
        "up": options.parse,
        "enter": enter.main,
        "check": check.main,
        "export": export.main,
        "as-agent": as_agent.main,
        "suspend": suspend.main,
    }
    with pytest.raises(SystemExit):
        backends[verb](["--help"]) if verb in backends else arguments.parser().parse_args([verb, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", sorted(arguments.VERBS))
def test_every_option_of_a_verb_is_documented(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line for line in DOCUMENTS["docs/configuration.md"].read_text().splitlines() if line.startswith("| `codetainer ")]
    row = next(line for line in rows if re.search(rf"`codetainer {verb}\b(?!-)", line))
    shown = set(re.findall(r"(?<!\S)--[a-z-]+", help_of(verb, capsys))) - {"--help"}
    assert {option for option in shown if not re.search(rf"{option}(?![a-z-])", row)} == set()


def test_every_reason_of_a_refusal_has_a_remedy() -> None:
    rows = DOCUMENTS["docs/troubleshooting.md"].read_text()
    shown = [str(reason) for reason in events.Reason]
    assert [text for text in shown if f"| {text} |" not in rows] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files(name: str) -> None:
    document = DOCUMENTS[name]
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_exist(name: str) -> None:
    named = re.findall(
        r"`((?:backend|codetainer_tui|docs|network|tests|\.ci|\.github)/[\w./@-]+)`", DOCUMENTS[name].read_text()
    )
    assert [path for path in named if not (documentation.ROOT / path).exists()] == []


def slugs(text: str) -> set[str]:
    """The anchors that GitHub creates for headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_headings(name: str) -> None:
    document = DOCUMENTS[name]
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", document.read_text())
    targets = [((document.parent / file) if file else document, anchor) for file, anchor in links]
    assert [f"{file}#{anchor}" for file, anchor in targets if anchor not in slugs(file.read_text())] == []


def test_slugs() -> None:
    assert slugs("# A\n## Is it the image, that was built?\nb\n") == {"a", "is-it-the-image-that-was-built"}


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (documentation.ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {word for path in DOCUMENTS.values() for word in re.findall(r"`make ([a-z]+)`", path.read_text())}
    assert mentioned <= targets


def test_filled_replaces_only_blocks() -> None:
    text = "a\n<!-- variables: begin -->\nstale text\n<!-- variables: end -->\nb\n"
    filled = documentation.filled(text)
    assert filled.startswith("a\n") and filled.endswith("-->\nb\n") and "stale text" not in filled and "`GH_PAT`" in filled
    with pytest.raises(KeyError):
        documentation.filled("<!-- nobody: begin -->\n<!-- nobody: end -->")


def test_pipes_do_not_break_a_table() -> None:
    assert documentation.table(("a",), [("x|y",)]).splitlines()[-1] == "| x\\|y |"


def test_the_root_is_this_checkout() -> None:
    assert (documentation.ROOT / "pyproject.toml").is_file()
    assert Path(__file__).is_relative_to(documentation.ROOT)
