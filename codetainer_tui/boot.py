"""`codetainer boot`: the backend as a child, and a front end over its journal."""

from __future__ import annotations

import signal
import sys

from backend.contract.events import encode
from backend.contract.paths import Paths
from backend.contract.state import State, fold
from codetainer_tui import plain
from codetainer_tui.process import Child, backend
from codetainer_tui.reader import follow


def headless(*, json: bool) -> int:
    """Boots and prints one line an event until the backend ends; returns its code."""
    child = Child(backend("boot"), own_session=True)
    child.pass_on(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    state = State()
    for stamped in follow(Paths().journal, lambda: child.code() is not None):
        state = fold(state, stamped)
        text = encode(stamped) if json else plain.line(stamped, state)
        if text:
            try:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            except OSError:
                pass  # nobody reads any more; the sandbox goes on
    code = child.code(wait=True)
    return 1 if code is None else code


def on_terminal() -> int:
    """Boots behind the dashboard. When the terminal is left the sandbox goes on until ctrl+c or a signal."""
    child = Child(backend("boot"), own_session=True)
    front = Child(["/usr/local/bin/attach-claude"])
    child.pass_on(signal.SIGTERM, signal.SIGHUP)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while front.code() is None and child.code() is None:
        signal.sigtimedwait([signal.SIGCHLD], 0.2)
    if child.code() is None:
        sys.stderr.write("codetainer: the sandbox goes on; ctrl+c ends it\n")
        child.pass_on(signal.SIGINT)
    code = child.code(wait=True)
    return 1 if code is None else code
