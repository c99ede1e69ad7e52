"""The handover of this terminal to the Claude session, through a tmux client that runs as the agent.

The client replaces this process, so that no root process reads the terminal after the agent has had it. It must not run as
root: the agent controls the tmux server, and a server can make its client run commands (`detach-client -E`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import sys
import termios
import time
import tty

from backend.contract.paths import AGENT_UID, Paths
from codetainer_tui import process

SESSION = "$0"  # the id of the server's first session (tmux(1)); its name changes with the agent's task
PATH = "/usr/local/bin:/usr/bin:/bin"
SETTLE_SECONDS = 1.0
ANSWER_SECONDS = 5.0  # the agent may have stopped its tmux server
_PRIMARY_ATTRIBUTES = re.compile(rb"\x1b\[\?[0-9;]*c")


def lock_is_free(paths: Paths) -> bool | None:
    """True if boot has released the init lock. None if unknown (not root, or no lock yet)."""
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def as_agent(argv: list[str]) -> list[str]:
    """The argument list that runs `argv` as the agent, without a way back to root; `argv` itself if this is not root."""
    if os.geteuid() != 0:
        return argv
    return [
        str(Paths().confine), "/usr/bin/setpriv", f"--reuid={AGENT_UID}", f"--regid={AGENT_UID}", "--clear-groups",
        "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--", *argv,
    ]  # fmt: skip


def client(paths: Paths, *command: str) -> list[str]:
    return as_agent(["tmux", "-S", str(paths.tmux_socket), *command])


def session_is_there(paths: Paths) -> bool:
    """True if the session exists and its tmux server answers. Asks as the agent, because root must not trust its server."""
    with contextlib.suppress(OSError):  # the folder is the agent's, and may be closed to root without CAP_DAC_OVERRIDE
        if not paths.tmux_socket.exists():
            return False
    return process.succeeds(client(paths, "has-session", "-t", SESSION), ANSWER_SECONDS)


def inside_tmux() -> bool:
    """True in a popup or pane of the session itself, where opening the session means ending this program."""
    return bool(process.environment().get("TMUX"))


def known_term(term: str) -> str:
    """The terminal's own type if tmux can draw on it, else one that works nearly everywhere.

    tmux needs the capability `cup`. An entry alone is not enough: `unknown` has one, of the generic type (terminfo(5)).
    """
    if term and term != "dumb" and process.succeeds(["tput", "-T", term, "cup", "0", "0"]):
        return term
    return process.FALLBACK_TERM


def go(paths: Paths) -> int:
    """Becomes the session's client. Returns only on failure: 1, with the reason on stderr; or 0 if already in the session."""
    if inside_tmux():
        return 0
    if not session_is_there(paths):
        sys.stderr.write("codetainer: the session is gone\n  Run codetainer session restart to start a new one.\n")
        return 1
    here = process.environment()
    environment = {
        "HOME": "/home/claude", "USER": "claude", "LOGNAME": "claude", "SHELL": "/bin/bash", "LANG": "C.UTF-8", "PATH": PATH,
        "TERM": known_term(here.get("TERM", "")), "COLORTERM": here.get("COLORTERM", ""),
    }  # fmt: skip
    settle(0)
    try:
        process.become(client(paths, "attach-session", "-t", SESSION), environment)
    except OSError as error:
        sys.stderr.write(f"codetainer: cannot open the session: {error}\n")
    return 1


def settle(terminal: int, seconds: float = SETTLE_SECONDS) -> None:
    """Waits for the terminal's answers to queries of the screen, which would otherwise be typed into the agent's pane.

    A terminal answers in order, so the answer to one more query (primary device attributes, `CSI c`) comes last. Discards all
    input received up to then, or within `seconds`.
    """
    if not os.isatty(terminal):
        return
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal, termios.TCSANOW)
        os.write(terminal, b"\x1b[c")
        seen = b""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not _PRIMARY_ATTRIBUTES.search(seen):
            if not select.select([terminal], [], [], left)[0]:
                break
            seen = (seen + os.read(terminal, 4096))[-8192:]
    except OSError:
        return  # the terminal is gone
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
            termios.tcflush(terminal, termios.TCIFLUSH)
