"""What runs in the agent's pane: Claude Code, and its stand-in in a pretend internet alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.sandbox import check, claude
from backend.sandbox.inputs import read
from backend.sandbox.networks import DUMMIES
from backend.sandbox.options import Net, parse
from backend.settings import SettingsError

INSTALL = "npm install -g @anthropic-ai/claude-code"
# What npm 12 leaves of the package where its install script was not allowed (2.1.197).
WITHOUT_PROGRAM = 'echo "Error: claude native binary not installed." >&2\nexit 1'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, begins: bytes | str) -> Path:
    program = folder / "claude"
    program.write_bytes(begins if isinstance(begins, bytes) else begins.encode())
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("net", ["nat", "none", "pretend"])
@pytest.mark.parametrize("begins", [b"\x7fELF\x02\x01", b"#!/usr/bin/env node\n"])
def test_it_is_the_one_of_this_machine(folder: Path, net: str, begins: bytes) -> None:
    program = install(folder, begins)
    assert claude.chosen(parse(["--net", net])) == program


def test_or_the_one_that_was_named(folder: Path) -> None:
    assert claude.chosen(parse(["--claude", "mine"])) == Path("mine")


@pytest.mark.parametrize("begins", [None, WITHOUT_PROGRAM, ""], ids=["none", "npm 12", "empty"])
@pytest.mark.parametrize("argv", [[], ["--net", "nat"], ["--net", "none"], ["--no-tui"], ["--plain"]])
def test_without_it_nothing_is_the_agent_outside_of_a_pretend_internet(
    folder: Path, argv: list[str], begins: str | None
) -> None:
    if begins is not None:
        install(folder, begins)
    with pytest.raises(SettingsError) as error:
        claude.chosen(parse(argv))
    assert INSTALL in str(error.value)
    assert ("installed without its program" in str(error.value)) is (begins is not None)


@pytest.mark.parametrize("begins", [None, WITHOUT_PROGRAM])
def test_in_a_pretend_one_the_stand_in_is(folder: Path, begins: str | None) -> None:
    if begins is not None:
        install(folder, begins)
    assert claude.chosen(parse(["--net", "pretend"])) == claude.FAKE_CLAUDE
    assert claude.chosen(parse(["--net", "pretend", "--", "true"])) == claude.FAKE_CLAUDE
    assert claude.FAKE_CLAUDE.is_file()


@pytest.mark.parametrize("net", ["nat", "none"])
def test_a_command_needs_no_agent(folder: Path, net: str) -> None:
    assert claude.chosen(parse(["--net", net, "--", "true"])) is None


def test_it_is_said_with_all_else_that_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DUMMIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    (folder / "list").write_text("bad_\n")
    with pytest.raises(SettingsError) as error:
        read(parse(["--domains", str(folder / "list")]), {})
    said = str(error.value)
    assert all(text in said for text in ("GH_PAT: not set", "CLAUDE_CODE_OAUTH_TOKEN", f"{folder}/list:1:", INSTALL))


def test_what_is_given_is_read(folder: Path) -> None:
    environment, program = read(parse(["--net", "pretend"]), DUMMIES)
    assert (environment["GH_PAT"], program) == (DUMMIES["GH_PAT"], claude.FAKE_CLAUDE)


def test_a_check_misses_it_but_for_a_pretend_internet(folder: Path) -> None:
    (missed,) = check.of_agent(Net.NAT)
    assert (missed.name, missed.problem) == ("claude", "not found on PATH")
    assert INSTALL in missed.remedy
    assert check.of_agent(Net.PRETEND) == []
    install(folder, WITHOUT_PROGRAM)
    assert "installed without its program" in check.of_agent(Net.NONE)[0].problem
    install(folder, b"\x7fELF")
    assert check.of_agent(Net.NAT)[0].problem == ""
