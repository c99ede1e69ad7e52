"""The command line of `up`."""

from pathlib import Path

import pytest

from backend.sandbox import enter, options
from backend.sandbox.options import Net, Show


def test_without_arguments() -> None:
    found = options.parse([])
    assert (found.net, found.show, found.command, found.name, found.as_root) == (Net.NAT, Show.DASHBOARD, (), "sandbox", False)


def test_a_command_is_everything_after_the_first_dashes() -> None:
    found = options.parse(["--net", "none", "--root-command", "--", "sh", "-c", "x", "--", "--net", "nat"])
    assert found.net is Net.NONE
    assert found.command == ("sh", "-c", "x", "--", "--net", "nat")
    assert found.as_root


@pytest.mark.parametrize(
    ("argv", "show"),
    [(["--no-tui"], Show.LINES), (["--plain"], Show.PLAIN), (["--plain", "--no-tui"], Show.LINES)],
)
def test_what_is_shown(argv: list[str], show: Show) -> None:
    assert options.parse(argv).show is show


def test_commands_are_reported_on_request() -> None:
    assert [options.parse(argv).debug for argv in ([], ["--debug"], ["--", "--debug"])] == [False, True, False]


def test_files() -> None:
    found = options.parse(["--net", "pretend", "--pretend", "a.toml", "--pretend-log", "-", "--domains", "d", "--claude", "c"])
    assert (found.pretend, found.pretend_log, found.domains, found.claude) == (Path("a.toml"), Path("-"), Path("d"), Path("c"))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--net", "all"], "--net"),
        (["--pretend", "a.toml"], "--net pretend"),
        (["--net", "none", "--pretend-log", "a"], "--net pretend"),
        (["--root-command"], "COMMAND"),
        (["--"], "COMMAND"),
        (["--name", ""], "'' is no name"),
        (["--name", "x" * 65], "is no name: expected up to 64 letters"),
        (["--name", "a\nb"], "'a\\nb' is no name"),
        (["--name", "bad/name"], "'bad/name' is no name"),
        (["--name", ".hidden"], "is no name"),
        (["--name=-x"], "the first a letter or a digit"),
        (["--name", "-x"], "--OPTION=VALUE"),
        (["--no-t"], "--no-t"),  # abbreviations would change their meaning with the next option that is added
        (["true"], "true"),
    ],
)
def test_what_is_wrong_is_said(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(argv)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("codetainer: cannot run up: ")
    assert said.endswith("\n  usage: codetainer up [options] [-- COMMAND ...]\n")


@pytest.mark.parametrize("name", ["work", "A-1_b.c", "x" * 64])
def test_names(name: str) -> None:
    assert options.parse(["--name", name]).name == name


def test_enter_takes_no_other_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        enter.main(["--name", "bad/name", "--", "true"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("codetainer: cannot run enter: --name: 'bad/name' is no name")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(["--help"])
    assert ended.value.code == 0
    assert "--net" in capsys.readouterr().out
