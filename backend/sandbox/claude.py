"""Chooses the program for the agent's pane: this machine's Claude Code, or its stand-in."""

from __future__ import annotations

import shutil
from pathlib import Path

from backend import settings
from backend.sandbox.options import Net, Options

PACKAGE = "@anthropic-ai/claude-code"
# npm 12 runs only install scripts that are allowed, and without its install script this package has no program. Older versions
# ignore the option.
INSTALL = f"npm install -g {PACKAGE} --allow-scripts={PACKAGE}"
# Only for a pretend internet: behaves like an agent for a minute. Needs no credentials.
FAKE_CLAUDE = Path(__file__).parent / "pretend/fake_claude"


def installed() -> Path | None:
    """The path of the `claude` program on PATH, None if there is none."""
    program = shutil.which("claude")
    return Path(program) if program else None


def problem(program: Path | None) -> str:
    """The reason why Claude Code cannot be run, "" if it can."""
    if program is None:
        return "not found on PATH"
    try:
        with program.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        return f"cannot read {program}: {error.strerror}"
    if magic == b"\x7fELF" or magic.startswith(b"#!"):
        return ""
    return f"{program} was installed without its program"  # npm did not run the install script


def chosen(options: Options) -> Path | None:
    """The program for the agent's pane, None if none is needed because `up` runs a COMMAND. Raises SettingsError.

    The stand-in commits files and connects to hosts that are not allowed, so it is used only with a pretend internet.
    """
    if options.claude is not None:
        return options.claude
    program = installed()
    lacking = problem(program)
    if not lacking:
        return program
    if options.net is Net.PRETEND:
        return FAKE_CLAUDE
    if options.command:
        return None
    raise settings.SettingsError([f"Claude Code: {lacking}. Install it with {INSTALL}, or name its program with --claude FILE"])
