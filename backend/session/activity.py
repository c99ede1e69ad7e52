"""What the agent does: works, waits, is idle, has ended. Pieced together from what nobody has to trust.

Claude Code's hooks leave two files in the agent's home. They tell when a turn begins and ends, but a turn can end without a
word (escape pressed, an error of the API). Claude Code also draws a spinner in its pane's title while it works, and a star
otherwise: where the two differ, the title is right. Whether its process lives is the kernel's word.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import time
from dataclasses import replace
from pathlib import Path

from backend import system
from backend.agent.session import Session
from backend.context import Boot
from backend.contract.events import SessionChanged, SessionState
from backend.journal import Journal
from backend.session import session
from backend.session.session import NAME
from backend.system import AGENT, Identity, SystemFailure

SECOND = 1.0
TITLE_LOOKS = 2  # looks at the files between two at the title, which starts a process
REPORT_BYTES = 64 << 10
STAR = "\N{EIGHT SPOKED ASTERISK}"
SETTLED = 2.0  # seconds that a hook's word stands against a title which has not been drawn yet
SILENT = 1800.0  # seconds without a word of any kind after which nobody knows


class Handles:
    """The processes of a session, by descriptors that stay theirs when a number is given out again (pidfd_open(2))."""

    def __init__(self, of: Session) -> None:
        self.of = of
        self._server, self._agent = _open(of.server), _open(of.agent)

    def ended(self) -> str:
        """What has ended, in words; "" while both live."""
        if _ended(self._server):
            return "the session has ended"
        return "Claude has ended, the session's shell is there" if _ended(self._agent) else ""

    def close(self) -> None:
        for handle in {self._server, self._agent} - {-1}:
            os.close(handle)


def _open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (OSError, OverflowError):  # no process, or no number of one: it is tmux's word
        return -1


def _ended(handle: int) -> bool:
    return handle == -1 or bool(select.select([handle], [], [], 0)[0])


async def watch(boot: Boot, journal: Journal) -> None:
    """Says when the session or Claude in it has ended, and otherwise what the agent does, as often as that changes."""
    with contextlib.ExitStack() as held:
        await _watch(boot, journal, held)


async def _watch(boot: Boot, journal: Journal, held: contextlib.ExitStack) -> None:
    handles: Handles | None = None
    title, looks, gone = "", 0, False
    while True:
        await asyncio.sleep(SECOND)
        if boot.session is None or boot.policy.frozen:  # nothing is started as the agent while it is stopped
            continue
        if handles is None or handles.of is not boot.session:
            held.close()
            handles, title, looks, gone = Handles(boot.session), "", 0, False
            held.callback(handles.close)
        if what := handles.ended():
            if not gone:
                gone = True
                known = journal.state.session
                ended = SessionChanged(SessionState.ENDED, known.name if known else NAME, time.time(), detail=what)
                journal.emit(ended)
            continue
        if looks % TITLE_LOOKS == 0:
            with contextlib.suppress(SystemFailure):  # it hangs or has just ended: the next look tells
                title = await session.title(boot.paths, handles.of)
        looks += 1
        reports = read_report(boot.paths.agent_report), read_report(boot.paths.agent_activity)
        found = judged(reported(*reports), title, journal.state.session, time.time())
        if found is not None and found != journal.state.session:
            journal.emit(found)


def judged(said: SessionChanged | None, title: str, before: SessionChanged | None, now: float) -> SessionChanged | None:
    """What the hooks say, put right by the pane's title. `before` is what was said last, `now` seconds since the epoch."""
    first = title[:1]
    if first != STAR and not is_spinner(first):
        if said is not None and said.state is SessionState.WORKS and 0 < said.since < now - SILENT:
            return replace(said, state=SessionState.UNKNOWN, since=_since(SessionState.UNKNOWN, before, now))
        return said
    known = said or SessionChanged(SessionState.UNKNOWN, NAME)
    state = known.state
    if is_spinner(first):
        state = SessionState.WORKS
    elif state is SessionState.WORKS:
        state = SessionState.WAITS  # the turn has ended without a word
    elif state is SessionState.UNKNOWN:
        state = SessionState.IDLE
    if state is known.state or (said is not None and now - said.since < SETTLED):
        return said
    return replace(known, state=state, since=_since(state, before, now))


def is_spinner(character: str) -> bool:
    """One of the Braille patterns that spinners are drawn with."""
    return "\N{BRAILLE PATTERN BLANK}" <= character <= "\N{BRAILLE PATTERN DOTS-12345678}"


def _since(state: SessionState, before: SessionChanged | None, now: float) -> float:
    return before.since if before is not None and before.state is state else now


# --- what the hooks have left ---


def read_report(path: Path, reader: Identity = AGENT) -> str:
    """The agent's own report, "" where there is none. The agent may have put anything there: a link, a pipe, a flood.

    It is opened as `reader`, the agent: a folder on the way may be a link to where only root may look.
    """
    try:
        with system.opening_as(reader):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with contextlib.closing(os.fdopen(descriptor, "rb", buffering=0)) as file:
        try:
            return (file.read(REPORT_BYTES) or b"").decode(errors="replace")
        except OSError:
            return ""


def reported(text: str, activity: str = "") -> SessionChanged | None:
    """What the hooks' two files say, with everything in it cut to size; None where neither says anything.

    `text` is the status line's (model, context, cost, branch), `activity` tells what the agent does.
    """
    about, doing = _object(text), _object(activity)
    if about is None and doing is None:
        return None
    body = {**(about or {}), **{key: value for key, value in (doing or {}).items() if key in ("state", "since")}}

    def word(key: str) -> str:
        value = body.get(key)
        return value[:120] if isinstance(value, str) else ""

    def number(key: str) -> float:
        value = body.get(key)
        return float(value) if isinstance(value, int | float) and -1e9 < value < 1e12 else -1.0

    state = word("state")
    known = state if state in ("works", "waits", "idle") else "unknown"
    return SessionChanged(
        SessionState(known), word("name") or NAME, max(0.0, number("since")), word("model"), number("context_percent"),
        number("cost_usd"), word("branch"),
    )  # fmt: skip


def _object(text: str) -> dict[str, object] | None:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
