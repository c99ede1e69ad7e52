"""Claude Code as this machine has it, or what takes its place in the agent's pane."""

from __future__ import annotations

import shutil
from pathlib import Path

from backend import settings
from backend.sandbox.options import Net, Options

PACKAGE = "@anthropic-ai/claude-code"
# npm 12 runs no install script that is not allowed, and without its own this package has no program. Older ones ignore the
# option.
INSTALL = f"npm install -g {PACKAGE} --allow-scripts={PACKAGE}"
# For a pretend internet alone: it does for a minute what an agent does, whatever credentials there are.
FAKE_CLAUDE = Path(__file__).parent / "pretend/fake_claude"


def found() -> Path | None:
    """Claude Code on this process's PATH."""
    program = shutil.which("claude")
    return Path(program) if program else None


def problem(program: Path | None) -> str:
    """Why there is no Claude Code to be run; "" if there is."""
    if program is None:
        return "not found on PATH"
    try:
        with program.open("rb") as file:
            begins = file.read(4)
    except OSError as error:
        return f"cannot read {program}: {error.strerror}"
    if begins == b"\x7fELF" or begins.startswith(b"#!"):
        return ""
    return f"{program} was installed without its program"  # what npm leaves if the install script did not run


def chosen(options: Options) -> Path | None:
    """What runs in the agent's pane; None for nothing, if a COMMAND is all that is wanted. Raises SettingsError.

    The stand-in never meets a real network: it commits, and tries hosts that are not listed.
    """
    if options.claude is not None:
        return options.claude
    program = found()
    lacking = problem(program)
    if not lacking:
        return program
    if options.net is Net.PRETEND:
        return FAKE_CLAUDE
    if options.command:
        return None
    raise settings.SettingsError([f"Claude Code: {lacking}. Install it with {INSTALL}, or name its program with --claude FILE"])
