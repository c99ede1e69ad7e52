"""The hand-over: this terminal becomes the Claude session, through a tmux client of the agent's uid.

Nothing of root's reads the terminal after the agent has had it: the process that waited is replaced by the client. Never a root
client: a tmux server can make its client run commands (`detach-client -E`), and the server is the agent's.
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

SESSION = "$0"  # the server's first session by its id (tmux(1)): its name changes with what the agent works on
PATH = "/usr/local/bin:/usr/bin:/bin"
SETTLE_SECONDS = 1.0
ANSWER_SECONDS = 5.0  # the agent may have stopped its tmux server
_PRIMARY_ATTRIBUTES = re.compile(rb"\x1b\[\?[0-9;]*c")


def lock_is_free(paths: Paths) -> bool | None:
    """Whether init is over: its lock can be shared. None where that cannot be told (not root, or no lock yet)."""
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
    """The argument list that runs `argv` as the agent, without a way back; as it is for who is not root."""
    if os.geteuid() != 0:
        return argv
    return [
        str(Paths().confine), "/usr/bin/setpriv", f"--reuid={AGENT_UID}", f"--regid={AGENT_UID}", "--clear-groups",
        "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--", *argv,
    ]  # fmt: skip


def client(paths: Paths, *command: str) -> list[str]:
    return as_agent(["tmux", "-S", str(paths.tmux_socket), *command])


def session_is_there(paths: Paths) -> bool:
    """Asked as the agent: a root client would trust the agent's server. One that does not answer is none to go to."""
    with contextlib.suppress(OSError):  # the folder is the agent's, and may be closed to root without CAP_DAC_OVERRIDE
        if not paths.tmux_socket.exists():
            return False
    return process.succeeds(client(paths, "has-session", "-t", SESSION), ANSWER_SECONDS)


def inside_tmux() -> bool:
    """In a popup or a pane of the session itself: going there means to end."""
    return bool(process.environment().get("TMUX"))


def known_term(term: str) -> str:
    """The terminal's own type where a screen can be drawn on it, else one that works nearly everywhere.

    tmux asks for `cup`. That there is an entry says less: `unknown` has one, of the generic type (terminfo(5)).
    """
    if term and term != "dumb" and process.succeeds(["tput", "-T", term, "cup", "0", "0"]):
        return term
    return process.FALLBACK_TERM


def go(paths: Paths) -> int:
    """Becomes the session's client. Returns only where that cannot be: 1, with the reason on stderr; 0 inside the session."""
    if inside_tmux():
        return 0
    if not session_is_there(paths):
        sys.stderr.write("codetainer: the session is gone\n  codetainer session restart starts it anew\n")
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
    """Lets the answers arrive that the screen has asked the terminal for: else they are typed into the agent's pane.

    A terminal answers in order, so one more question (primary device attributes, `CSI c`) is answered last. Where none comes
    within `seconds`, what has arrived until then is thrown away.
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
        return  # the terminal has gone
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
            termios.tcflush(terminal, termios.TCIFLUSH)
