"""The command line of `up`."""

from pathlib import Path

import pytest

from backend.sandbox import enter, options
from backend.sandbox.options import Net, Show


def test_without_arguments() -> None:
    parsed = options.parse([])
    assert (parsed.net, parsed.show, parsed.command) == (Net.NAT, Show.DASHBOARD, ())
    assert (parsed.name, parsed.as_root) == ("sandbox", False)


def test_a_command_is_everything_after_the_first_dashes() -> None:
    parsed = options.parse(["--net", "none", "--root-command", "--", "sh", "-c", "x", "--", "--net", "nat"])
    assert parsed.net is Net.NONE
    assert parsed.command == ("sh", "-c", "x", "--", "--net", "nat")
    assert parsed.as_root


@pytest.mark.parametrize(
    ("argv", "show"),
    [(["--no-tui"], Show.LINES), (["--plain"], Show.PLAIN), (["--plain", "--no-tui"], Show.LINES)],
)
def test_options_select_the_output(argv: list[str], show: Show) -> None:
    assert options.parse(argv).show is show


def test_debug_is_off_unless_requested() -> None:
    assert [options.parse(argv).debug for argv in ([], ["--debug"], ["--", "--debug"])] == [False, True, False]


def test_files() -> None:
    parsed = options.parse(["--net", "pretend", "--pretend", "a.toml", "--pretend-log", "-", "--domains", "d", "--claude", "c"])
    assert (parsed.pretend, parsed.pretend_log) == (Path("a.toml"), Path("-"))
    assert (parsed.domains, parsed.claude) == (Path("d"), Path("c"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--net", "all"], "--net"),
        (["--pretend", "a.toml"], "--net pretend"),
        (["--net", "none", "--pretend-log", "a"], "--net pretend"),
        (["--work", "a", "--resume", "b"], "exclude each other"),
        (["--work", "a", "--no-work"], "exclude each other"),
        (["--root-command"], "COMMAND"),
        (["--"], "COMMAND"),
        (["--name", ""], "invalid name ''"),
        (["--name", "x" * 65], "xxx': expected up to 64 letters"),
        (["--name", "a\nb"], "invalid name 'a\\nb'"),
        (["--name", "bad/name"], "invalid name 'bad/name'"),
        (["--name", ".hidden"], "invalid name '.hidden'"),
        (["--name=-x"], "beginning with a letter or digit"),
        (["--name", "-x"], "invalid name '-x'"),
        (["--no-t"], "--no-t"),  # a new option could change the meaning of an abbreviation
        (["true"], "true"),
    ],
)
def test_invalid_arguments_are_reported(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(argv)
    assert ended.value.code == 2
    stderr = capsys.readouterr().err
    assert message in stderr
    assert stderr.startswith("codetainer: cannot run up: ")
    assert stderr.endswith("\n  usage: codetainer up [options] [-- COMMAND ...]\n")


@pytest.mark.parametrize("name", ["work", "A-1_b.c", "x" * 64])
def test_names(name: str) -> None:
    assert options.parse(["--name", name]).name == name


def test_enter_accepts_the_same_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        enter.main(["--name", "bad/name", "--", "true"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("codetainer: cannot run enter: --name: invalid name 'bad/name'")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(["--help"])
    assert ended.value.code == 0
    assert "--net" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "file"),
    [([], None), (["--learn"], "learned.conf"), (["--learn", "x.conf"], "x.conf"), (["--learn", "--", "sh"], "learned.conf")],
)
def test_a_learning_run_writes_a_file(argv: list[str], file: str | None) -> None:
    assert options.parse(argv).learn == (Path(file) if file else None)
