"""`codetainer as-agent`: runs a command or a shell as the agent, for root in a sandbox who works on the agent's files.

Files that the agent wrote can start programs: git configuration and hooks, makefiles, editor settings. Without this command,
they would run as root. `git` also runs this way for root (backend/launchers/git).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from backend import settings
from backend.agent import agent
from backend.contract.command_line import Parser
from backend.contract.paths import AGENT_UID, Paths
from backend.contract.verbs import BACKEND_VERBS
from backend.sandbox import relay
from backend.sandbox.relay import Command
from backend.system import AGENT, describe
from network import reasons

SIGPIPE_CODE = 141  # as in a shell: 128 + SIGPIPE
# The variables of root's environment that the agent gets: they describe the terminal or configure git. Others may hold tokens.
PASSED_ON = (
    "TERM", "COLORTERM", "NO_COLOR", "TZ", "PAGER", "EDITOR", "VISUAL", "LESS", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE",
    "GIT_COMMON_DIR", "GIT_PAGER", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_OPTIONAL_LOCKS", "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE",
)  # fmt: skip

FROZEN = f"{reasons.FROZEN}, so no process can be started as the agent\n  Run codetainer thaw first."
GIT_OPTIONS_WITH_VALUE = ("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env", "--super-prefix")
READ_STDIN = (
    "am", "apply", "column", "credential", "fast-import", "fmt-merge-msg", "get-tar-commit-id", "http-backend",
    "interpret-trailers", "mailinfo", "mailsplit", "mktag", "mktree", "pack-objects", "patch-id", "receive-pack", "shortlog",
    "stripspace", "unpack-objects", "upload-archive", "upload-pack",
)  # fmt: skip


def main(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="codetainer as-agent", usage="%(prog)s [-- COMMAND ...]",
        description=BACKEND_VERBS["as-agent"],
    )  # fmt: skip
    at = argv.index("--") if "--" in argv else len(argv)
    parser.parse_args(argv[:at])
    command = list(argv[at + 1 :]) or ["bash", "-l"]
    if not Paths().front_end.exists():
        sys.stderr.write(
            "codetainer: no sandbox is running here\n  Run codetainer enter -- COMMAND to run it in a running sandbox.\n"
        )
        return 1
    if os.geteuid() not in (0, AGENT_UID):
        sys.stderr.write("codetainer: only root and the agent may run commands as the agent\n")
        return 1
    if Paths().frozen.exists():
        sys.stderr.write(f"codetainer: {FROZEN}\n")
        return 1
    if not os.isatty(0) and not reads_stdin(command):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return run(command)


def reads_stdin(command: Sequence[str]) -> bool:
    """True if a command may read stdin. git does so only in some subcommands, or if an argument asks for it.

    Other git commands do not get root's stdin, because the relay would consume all of it: a list in a shell loop, a secret in a
    pipe.
    """
    if Path(command[0]).name != "git":
        return True
    words = iter(command[1:])
    subcommand = ""
    for word in words:
        if word in GIT_OPTIONS_WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            subcommand = word
            break
    return subcommand in READ_STDIN or any(
        word in ("-", "-F-")
        or word.endswith("=-")
        or word.startswith(("--stdin", "--batch", "--index-info", "--annotate-stdin"))
        for word in words
    )


def run(command: Sequence[str]) -> int:
    """Runs a command as the agent, waits for it and returns its exit code."""
    if os.geteuid() != 0:
        os.execvp(command[0], list(command))
    here = settings.environment()
    environment = {**agent.own_environment(Paths()), **{name: here[name] for name in PASSED_ON if name in here}}
    if os.isatty(0) and not os.isatty(1):  # as in a prompt's $(git status): keys typed now are meant for the waiting shell
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        return relay.run(Command(0, command, AGENT, environment, ""), withhold=lambda _: True)
    except BrokenPipeError:  # the reader has closed its end, as in `git log | head`
        return SIGPIPE_CODE
    except OSError as error:
        sys.stderr.write(f"codetainer: cannot run {command[0]} as the agent: {describe(error)}\n")
        return 1
