"""What all verbs share before their arguments are parsed: those of the backend, and one form of error."""

from __future__ import annotations

from collections.abc import Iterable

EXIT_CODE = 2
# Verbs that the backend runs, with their descriptions: it parses their arguments, because a COMMAND may follow.
BACKEND_VERBS = {
    "up": "Boot a sandbox in namespaces of this machine. On a terminal it shows the dashboard, then the session; ctrl+b d "
    "returns to the dashboard. q on the dashboard stops the sandbox, after showing unsaved work and asking. A signal, or "
    "closing the terminal, stops it without asking. With a COMMAND it runs that as the agent and exits with its code, and "
    "prints nothing else unless boot fails, or commits came back (--work). Nothing of the sandbox is left afterwards.",
    "enter": "Run a command or a shell in a running sandbox, and exit with its code.",
    "check": "List what this machine lacks for a sandbox, what for, and how to get it.",
    "export": "Write unsaved work to stdout, as a git bundle or a patch. Unsaved work is unpushed commits, uncommitted files "
    "and stashes. With --conversation it writes Claude's latest conversation instead.",
    "suspend": "Write all of a sandbox's work to an archive, FILE or stdout. The archive has the agent's files with Claude's "
    "conversation, what you allowed, the budget and the journal; codetainer up --resume FILE continues in a new sandbox. The "
    "agent stands still meanwhile, and then continues. After codetainer freeze it does not, so the archive has everything. Run "
    "it in the sandbox, or on the machine of codetainer up.",
    "as-agent": "Run a command or a shell as the agent, in this folder, and exit with its code. It gets no terminal of root's.",
}


def wrong(text: str, *hints: str) -> str:
    """An error as it is written to stderr; leaves out hints that are ""."""
    return "\n  ".join((f"codetainer: {text}", *filter(None, hints))) + "\n"


def nearest(word: str, words: Iterable[str]) -> str:
    """The word that was probably meant, "" if none is similar."""
    import difflib  # for errors only

    return next(iter(difflib.get_close_matches(word, list(words), 1)), "")
