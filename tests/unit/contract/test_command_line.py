"""The errors of a wrong command line."""

import pytest

from backend.contract.command_line import Parser, summary
from backend.contract.verbs import nearest


def parser() -> Parser:
    made = Parser(prog="codetainer dance", usage="%(prog)s [--fast] [--tune TUNE] PLACE")
    made.add_argument("--fast", action="store_true")
    made.add_argument("--tune", choices=("waltz", "polka"))
    made.add_argument("place", metavar="PLACE")
    return made


USAGE = "  usage: codetainer dance [--fast] [--tune TUNE] PLACE\n"
WRONG: list[tuple[str, str]] = [
    ("here --bla", "there is no option --bla\n"),
    ("here --fsat", "there is no option --fsat\n  did you mean --fast?\n"),
    ("here --fas", "there is no option --fas\n  did you mean --fast?\n"),
    ("here --tone=polka", "there is no option --tone\n  did you mean --tune?\n"),
    ("here there", "'there' is more than it takes\n"),
    ("here \x1b[31m", "'\\x1b[31m' is more than it takes\n"),
    ("", "PLACE is missing\n"),
    ("here --tune", "--tune: expected one argument\n"),
    ("here --tune --fast", "--tune: expected one argument\n"),
    ("here --tune -waltz", "--tune: invalid choice: '-waltz' (choose from waltz, polka)\n"),
    ("here --fast -waltz", "there is no option -waltz\n"),
    ("here --tune tango", "--tune: invalid choice: 'tango' (choose from waltz, polka)\n"),
]


@pytest.mark.parametrize(("typed", "says"), WRONG)
def test_errors_have_one_form(typed: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(typed.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"codetainer: cannot run dance: {says}{USAGE}"


def test_a_verb_with_a_command_shows_where_the_command_goes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Parser(prog="codetainer up", usage="%(prog)s [options] [-- COMMAND ...]").parse_args(["true"])
    assert "\n  a COMMAND goes after --: -- true\n" in capsys.readouterr().err


def test_after_two_dashes_nothing_is_an_option() -> None:
    made = Parser(prog="x")
    made.add_argument("--tune")
    made.add_argument("words", nargs="*")
    assert made.parse_args(["--", "--tune", "-x"]).words == ["--tune", "-x"]


def test_the_summary_is_the_first_sentence() -> None:
    assert summary("Push work to wip/... now, and again. With --off not.") == "push work to wip/... now, and again"
    assert summary("Undo freeze.") == "undo freeze"


def test_the_nearest_word() -> None:
    assert nearest("stauts", ("status", "start")) == "status"
    assert nearest("xyzzy", ("status", "start")) == ""
