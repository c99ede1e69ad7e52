"""Finds out whether the agent is working, waiting, idle or has ended. Only for information, because the sources are untrusted.

Claude Code's hooks write two files in the agent's home when a turn begins and ends. A turn can also end without a hook (escape
pressed). Claude Code shows on its screen that it works, and some versions show a spinner in the pane's title while they do and
a star otherwise. If these differ from the hooks' files, they are right. If the prompt that boot gave begins no turn, the pane
shows why (beginning.py). The kernel reports whether the process is alive. The state that is shown to the operator is measured
(overseer.py), with this as one of its sources.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import time
from dataclasses import replace

from backend import system
from backend.agent.session import Session
from backend.context import Boot
from backend.contract.events import AgentSettings, SessionChanged, SessionState
from backend.contract.paths import Paths
from backend.journal import Journal
from backend.session import session
from backend.session.beginning import Beginning, has_conversation
from backend.session.overseer import Overseer
from backend.session.reports import read_report
from backend.session.session import NAME
from backend.session.settings_problems import Problems
from backend.session.watchdog import FAILED
from backend.system import AGENT, SystemFailure

SECOND = 1.0
TITLE_LOOKS = 2  # reads the title only every second time, because that starts a process
SETTINGS_LOOKS = 10  # compares the settings files every tenth time
STAR = "\N{EIGHT SPOKED ASTERISK}"
SETTLED = 2.0  # seconds during which a new report overrules the title, which may not be redrawn yet
SILENT = 1800.0  # seconds without a report or a title after which the state is unknown


class Handles:
    """The processes of a session, held by pidfds, which stay valid if a pid is reused (pidfd_open(2))."""

    def __init__(self, of: Session) -> None:
        self.of = of
        self._server, self._agent = _open(of.server), _open(of.agent)

    def ended(self) -> str:
        """A text that names the process that has ended, "" while both are alive."""
        if _ended(self._server):
            return "the session has ended"
        return "Claude has ended, the session's shell is still running" if _ended(self._agent) else ""

    def close(self) -> None:
        for handle in {self._server, self._agent} - {-1}:
            os.close(handle)


def _open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (OSError, OverflowError):  # the pid comes from tmux, so it may be invalid
        return -1


def _ended(handle: int) -> bool:
    return handle == -1 or bool(select.select([handle], [], [], 0)[0])


async def watch(boot: Boot, journal: Journal) -> None:
    """Emits an event whenever the agent's state changes, and one when the session or Claude in it has ended."""
    with contextlib.ExitStack() as held:
        await _watch(boot, journal, held)


async def _watch(boot: Boot, journal: Journal, held: contextlib.ExitStack) -> None:
    handles: Handles | None = None
    title, busy, looks, gone, beginning = "", False, 0, False, Beginning()
    problems, overseer = Problems(boot.paths, boot.settings.claude_override), Overseer(boot, journal)
    while True:
        await asyncio.sleep(SECOND)
        if boot.session is None or boot.policy.stands_still:  # while frozen, no process may be started as the agent
            continue
        if handles is None or handles.of is not boot.session:
            held.close()
            handles, title, busy, looks, gone, beginning = Handles(boot.session), "", False, 0, False, Beginning()
            held.callback(handles.close)
        if detail := handles.ended():
            if not gone:
                gone = True
                previous = journal.state.session
                ended = SessionChanged(SessionState.ENDED, previous.name if previous else NAME, time.time(), detail=detail)
                journal.emit(ended)
                overseer.ended(ended.since, detail)
            continue
        if looks % TITLE_LOOKS == 0:
            with contextlib.suppress(SystemFailure):  # tmux hangs or has just ended; the next round checks
                title, busy = await session.glance(boot.paths, handles.of)
        looks += 1
        reports = read_report(boot.paths.agent_report), read_report(boot.paths.agent_activity)
        current = judged(reported(*reports), title, journal.state.session, time.time(), busy=busy)
        if boot.awaits_turn and (begun(reports[1]) or is_spinner(title[:1]) or has_begun(boot.paths)):
            boot.awaits_turn = False
        if boot.awaits_turn:
            beginning.waited += SECOND
            if looks % TITLE_LOOKS == 0 and beginning.due:
                with contextlib.suppress(SystemFailure):
                    await _look(boot, problems, handles.of, beginning)
            current = asking(current, beginning, journal.state.session, time.time())
        if current is not None and current != journal.state.session:
            journal.emit(current)
        await overseer.look(handles.of, current or journal.state.session, state_word(reports[1]))
        if problems.changed or looks % SETTINGS_LOOKS == 1:
            lines = problems.lines()
            if lines != journal.state.agent_settings:
                journal.emit(AgentSettings(lines))


async def _look(boot: Boot, problems: Problems, of: Session, beginning: Beginning) -> None:
    """Looks at the agent's pane, and answers a known question there. Raises SystemFailure."""
    answer = beginning.saw(await session.screen(boot.paths, of))
    if answer is not None:
        problems.add(answer.about)
        await session.reply(boot.paths, of, answer)


def asking(
    current: SessionChanged | None, beginning: Beginning, before: SessionChanged | None, now: float
) -> SessionChanged | None:
    """The state while no turn has begun: `current` until Claude is late, then a question with its screen."""
    if not beginning.late:
        return current
    asks = replace(current or SessionChanged(SessionState.UNKNOWN, NAME), state=SessionState.ASKS, screen=beginning.screen)
    return replace(asks, since=_since(SessionState.ASKS, before, now))


def begun(activity: str) -> bool:
    """True if the hooks report that a turn has begun."""
    turn = (_object(activity) or {}).get("turn")
    return isinstance(turn, int | float) and turn > 0


def state_word(activity: str) -> str:
    """The state in the hooks' report, "" if there is none."""
    word = (_object(activity) or {}).get("state")
    return word if isinstance(word, str) else ""


def has_begun(paths: Paths) -> bool:
    """True if Claude Code has stored a conversation about the session's folder."""
    with system.opening_as(AGENT):
        return has_conversation(paths, session.folder(paths))


def judged(
    report: SessionChanged | None, title: str, before: SessionChanged | None, now: float, *, busy: bool = False
) -> SessionChanged | None:
    """The hooks' report, corrected by the pane. `before` is the last event, `now` is in seconds since the epoch.

    `busy`: the screen says that a turn goes on. While it does, 2.1.332 shows the star in the title, too.
    """
    first = "\N{BRAILLE PATTERN BLANK}" if busy else title[:1]
    if first != STAR and not is_spinner(first):
        if report is not None and report.state is SessionState.WORKS and 0 < report.since < now - SILENT:
            return replace(report, state=SessionState.UNKNOWN, since=_since(SessionState.UNKNOWN, before, now))
        return report
    current = report or SessionChanged(SessionState.UNKNOWN, NAME)
    state = current.state
    if is_spinner(first):
        state = SessionState.WORKS
    elif state is SessionState.WORKS:
        state = SessionState.WAITS  # the turn ended without a hook
    elif state is SessionState.UNKNOWN:
        state = SessionState.IDLE
    if state is current.state or (report is not None and now - report.since < SETTLED):
        return report
    return replace(current, state=state, since=_since(state, before, now))


def is_spinner(character: str) -> bool:
    """True for a Braille pattern, as used to draw spinners."""
    return "\N{BRAILLE PATTERN BLANK}" <= character <= "\N{BRAILLE PATTERN DOTS-12345678}"


def _since(state: SessionState, before: SessionChanged | None, now: float) -> float:
    return before.since if before is not None and before.state is state else now


# --- the hooks' files ---


def reported(text: str, activity: str = "") -> SessionChanged | None:
    """Parses the hooks' two files and bounds every value. Returns None if neither file holds a JSON object.

    `text` comes from the status line hook (model, context, cost, branch), `activity` from the activity hook (state, since).
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
    return SessionChanged(
        SessionState("waits" if state == FAILED else state if state in ("works", "waits", "idle") else "unknown"),
        word("name") or NAME,
        max(0.0, number("since")),
        word("model"),
        number("context_percent"),
        number("cost_usd"),
        word("branch"),
    )


def _object(text: str) -> dict[str, object] | None:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
