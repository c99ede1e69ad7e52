"""The description of the sandbox for Claude: a section of the user's CLAUDE.md, updated when the allowlist changes.

The file belongs to the agent. Its own text around the section stays, and no protection depends on the file.
"""

from __future__ import annotations

import string
from pathlib import Path

from backend.agent import agent
from backend.boot.steps.tmpfs import show
from backend.contract.paths import Paths
from backend.session import reports
from backend.settings import Settings
from backend.settings.values import Save
from network.allowlist import Allowlist
from network.gate.references import References

BEGIN = "<!-- codetainer: begin (updated whenever the allowlist changes) -->"
END = "<!-- codetainer: end -->"
TEMPLATE = Path(__file__).with_name("briefing.template")
MAX_NAMES = 80
OUTSIDE = (
    "The tokens in your environment are placeholders; the real ones are inserted outside the sandbox. git, gh, npm and the\n"
    "  API work with the placeholders, and any other credential is refused. Pushes and writes on GitHub go to {} only.\n"
    "  Only the operator may change settings, approve, start workflows or delete the default branch."
)
LEARNING = (
    "every public name on ports 80 and 443, because this is a learning run (use only what the work needs: the operator reads "
    "the list of all requests)"
)
SAVED = " Unsaved work is also saved to a branch wip/...: leave that branch alone."
NO_REFERENCES = (
    " In texts and commit\n  messages, refer to other repositories and accounts without at sign, number sign or link "
    "(owner/repo issue 1): references and\n  mentions are refused, also in code."
)
INSIDE = "git, gh, npm and the API work with the tokens in your environment."


def render(settings: Settings, allowlist: Allowlist) -> str:
    """Returns the section with its markers."""
    names = [str(entry) for entry in allowlist.entries]
    if len(names) > MAX_NAMES:
        names[MAX_NAMES:] = [f"and {len(names) - MAX_NAMES} more"]
    if settings.learns:
        names.insert(0, LEARNING)
    text = string.Template(TEMPLATE.read_text()).substitute(
        names=", ".join(names) or "none",
        credentials=_credentials(settings),
        workspace=show(settings.tmpfs_workspace),
        tmp=show(settings.tmpfs_tmp),
        home=show(settings.tmpfs_home),
        saved="" if settings.autosave.when is Save.OFF else SAVED,
    )
    return f"{BEGIN}\n{text}{END}\n"


def _credentials(settings: Settings) -> str:
    if not settings.outside:
        return INSIDE
    text = OUTSIDE.format(", ".join(settings.writable) or "no repository")
    return text + NO_REFERENCES if settings.references is References.REFUSE else text


def merged(before: str, section: str) -> str:
    """Returns a CLAUDE.md with the section in place of an older one, or at its end."""
    start = before.rfind(BEGIN)
    end = before.find(END, start)
    if 0 <= start < end:
        return before[:start] + section + before[end + len(END) :].removeprefix("\n")
    return f"{before.rstrip()}\n\n{section}" if before.strip() else section


def write(settings: Settings, paths: Paths, allowlist: Allowlist) -> None:
    """Updates the section in the agent's CLAUDE.md, as the agent. Raises SystemFailure."""
    file = place(paths)
    before = reports.read_report(file)
    text = merged(before, render(settings, allowlist))
    if text != before:
        agent.write(file, text)


def place(paths: Paths) -> Path:
    return paths.home / ".claude/CLAUDE.md"
