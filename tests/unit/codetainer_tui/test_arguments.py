"""The command line's overview, and values that are refused before anything is asked."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import cast

import pytest

from backend.contract import control
from backend.contract.control import Reply, Request
from codetainer_tui import arguments, cli
from codetainer_tui import ask as asking


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Requests that were made."""
    found: list[Request] = []

    def answer(_path: object, request: Request) -> Reply:
        found.append(request)
        return Reply(True, "done")

    monkeypatch.setattr(asking, "ask", answer)
    return found


def test_the_overview_has_every_verb_once_with_the_first_sentence_of_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert sorted(line.split()[0] for line in lines) == sorted(arguments.VERBS)
    assert "  session restart  restart Claude in its session" in lines
    assert "  save             push unsaved work in /workspace/repo to wip/... now and when the sandbox stops" in lines
    assert all(len(line) < 100 and not line.endswith(".") for line in lines)


def test_every_verb_that_asks_nothing_has_a_function() -> None:
    requests = {verb.split()[0] for verb in control.VERBS}
    assert {*arguments.BOOT, *arguments.INSIDE} == {*cli.FUNCTIONS} - requests


DASHED: list[tuple[str, str]] = [
    ("allow a.example --port", "-1"), ("allow a.example --for", "-1h"), ("allow a.example --grant", "-x"),
    ("attach --timeout", "-x"),
    ("revoke a.example --port", "-1"), ("mute a.example --for", "-1h"), ("dashboard --speed", "-x"),
    ("dashboard --size", "-1x2"),
    ("dashboard --replay", "-x"), ("dashboard --picture", "-x"), ("boot --on-failure", "-x"), ("metrics --serve", "-x"),
    ("ssh-config --name", "-x"), ("ssh-config --host", "-x"), ("ssh-config --port", "-x"), ("attach --of-up", "-x"),
    ("report --since", "-1h"), ("report --html", "-x"), ("report --task", "-x"), ("report --journal", "-x"),
    ("learned --output", "-x"), ("verify --head", "-x"), ("verify --key", "-x"),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "value"), DASHED)
def test_a_value_that_begins_with_a_dash_is_a_value(
    typed: str, value: str, asked: list[Request], capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be a bad one, and the error then names it."""
    words = [*typed.split(), value]
    try:
        options = arguments.parser().parse_args(words)
    except SystemExit:
        said = capsys.readouterr().err
        assert "expected one argument" not in said
        assert words[-2] in said
    else:
        assert value in {str(each) for each in vars(options).values()}


def test_every_option_with_a_value_is_tried_with_a_dash() -> None:
    (verbs,) = arguments.parser()._subparsers._group_actions  # type: ignore[union-attr]
    taking = {
        (verb, action.option_strings[-1])
        for verb, made in cast(dict[str, ArgumentParser], verbs.choices).items()
        for action in made._actions
        if action.option_strings and action.nargs is None
    }
    assert taking == {(typed.split()[0], typed.split()[-1]) for typed, _ in DASHED}


TIMES: list[tuple[list[str], str]] = [
    (["allow", "a.example", "--for", "0s"], "cannot use '0s' as a duration: the shortest is 1s; without --for there is no end"),
    (["allow", "a.example", "--for", "0"], "cannot use '0' as a duration"),
    (["allow", "a.example", "--for=-1h"], "cannot read '-1h' as a duration"),
    (["allow", "a.example", "--for", "-1h"], "cannot read '-1h' as a duration: expected 90s, 5m, 4h or 1d; without --for"),
    (["allow", "a.example", "--for", "-h1"], "cannot read '-h1' as a duration"),
    (["mute", "a.example", "--for", "--1h"], "cannot read '--1h' as a duration"),
    (["attach", "--timeout", "-5m"], "cannot read '-5m' as a duration"),
    (["allow", "a.example", "--for", "--yes"], "--for: expected one argument"),
    (["allow", "a.example", "--for"], "--for: expected one argument"),
    (["allow", "a.example", "--for", "99999d"], "cannot use '99999d' as a duration: the longest is 366d"),
    (["allow", "a.example", "--for", "9" * 500 + "d"], "the longest is 366d"),
    (["allow", "a.example", "--for", "10"], "its unit is missing, expected 90s, 5m, 4h or 1d"),
    (["allow", "a.example", "--for", ""], "cannot read '' as a duration"),
    (["mute", "a.example", "--for", "0m"], "cannot use '0m' as a duration"),
    (["mute", "a.example", "--for", "999999999d"], "the longest is 366d"),
    (["attach", "--timeout", "0"], "cannot use '0' as a duration"),
]


@pytest.mark.parametrize(("argv", "says"), TIMES)
def test_a_time_that_is_none_is_refused_before_anything_is_asked(
    argv: list[str], says: str, asked: list[Request], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert (ended.value.code, asked) == (2, [])
    assert says in capsys.readouterr().err
