"""The program in the agent's pane: Claude Code, or its stand-in, which needs a pretend internet."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.sandbox import check, claude
from backend.sandbox.inputs import read
from backend.sandbox.networks import DUMMIES
from backend.sandbox.options import Net, parse
from backend.settings import SettingsError

INSTALL = "npm install -g @anthropic-ai/claude-code"
# The program that npm 12 installs if the package's install script is not allowed (2.1.197).
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
def test_this_machines_program_is_the_default(folder: Path, net: str, begins: bytes) -> None:
    program = install(folder, begins)
    assert claude.chosen(parse(["--net", net])) == program


def test_a_named_program_is_used(folder: Path) -> None:
    assert claude.chosen(parse(["--claude", "mine"])) == Path("mine")


@pytest.mark.parametrize("begins", [None, WITHOUT_PROGRAM, ""], ids=["none", "npm 12", "empty"])
@pytest.mark.parametrize("argv", [[], ["--net", "nat"], ["--net", "none"], ["--no-tui"], ["--plain"]])
def test_without_claude_code_other_networks_are_refused(folder: Path, argv: list[str], begins: str | None) -> None:
    if begins is not None:
        install(folder, begins)
    with pytest.raises(SettingsError) as error:
        claude.chosen(parse(argv))
    assert INSTALL in str(error.value)
    assert ("installed without its program" in str(error.value)) is (begins is not None)


@pytest.mark.parametrize("begins", [None, WITHOUT_PROGRAM])
def test_without_claude_code_a_pretend_internet_has_the_stand_in(folder: Path, begins: str | None) -> None:
    if begins is not None:
        install(folder, begins)
    assert claude.chosen(parse(["--net", "pretend"])) == claude.FAKE_CLAUDE
    assert claude.chosen(parse(["--net", "pretend", "--", "true"])) == claude.FAKE_CLAUDE
    assert claude.FAKE_CLAUDE.is_file()


@pytest.mark.parametrize("net", ["nat", "none"])
def test_a_command_needs_no_agent(folder: Path, net: str) -> None:
    assert claude.chosen(parse(["--net", net, "--", "true"])) is None


def test_its_absence_is_reported_with_all_other_problems(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DUMMIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    (folder / "list").write_text("bad_\n")
    with pytest.raises(SettingsError) as error:
        read(parse(["--domains", str(folder / "list")]), {})
    message = str(error.value)
    assert all(text in message for text in ("GH_PAT: not set", "CLAUDE_CODE_OAUTH_TOKEN", f"{folder}/list:1:", INSTALL))


def test_valid_input_is_read(folder: Path) -> None:
    environment, program = read(parse(["--net", "pretend"]), DUMMIES)
    assert (environment["GH_PAT"], program) == (DUMMIES["GH_PAT"], claude.FAKE_CLAUDE)


def test_the_check_requires_it_except_for_a_pretend_internet(folder: Path) -> None:
    (requirement,) = check.of_agent(Net.NAT)
    assert (requirement.name, requirement.problem) == ("claude", "not found on PATH")
    assert INSTALL in requirement.remedy
    assert check.of_agent(Net.PRETEND) == []
    install(folder, WITHOUT_PROGRAM)
    assert "installed without its program" in check.of_agent(Net.NONE)[0].problem
    install(folder, b"\x7fELF")
    assert check.of_agent(Net.NAT)[0].problem == ""
