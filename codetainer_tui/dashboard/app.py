"""The dashboard's app: it polls its source four times a second, folds the events and gives the screen a View.

Length: one app, whose actions are in modules of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import SystemCommand
from textual.screen import Screen

from backend.contract.events import Event, Refused, Stamped
from backend.contract.paths import Paths
from backend.contract.refusals import Severity, severity
from backend.contract.state import State, fold_all
from codetainer_tui import process
from codetainer_tui.dashboard import notify
from codetainer_tui.dashboard.actions import Actions
from codetainer_tui.dashboard.draw.ink import Colours, Ink
from codetainer_tui.dashboard.keys import BINDINGS, UNLOCK, Keys
from codetainer_tui.dashboard.notify import Notify
from codetainer_tui.dashboard.preferences import Preferences
from codetainer_tui.dashboard.screens.main import MainScreen
from codetainer_tui.dashboard.source import Source
from codetainer_tui.plain import Lines
from codetainer_tui.view import Tone, View, view
from codetainer_tui.words import harmless, lasting

TICK_SECONDS = 0.25
STILL_SECONDS = 1.0  # interval of redrawing without events, for relative times
NOTICE_SECONDS = 3.0  # before the session opens
NOTIFY_SECONDS = 15.0  # between two notifications, so a scan does not ring the bell on every tick
MAX_EVENTS, MAX_SERIOUS = 3000, 500  # stored for the log
FOR_EVER = 1e9  # seconds
QUIET_SECONDS = 1.0
LOCKED = f"the session closed unexpectedly: keys are ignored until you press {UNLOCK}"


def end_with_terminal(descriptor: int = 0) -> None:
    """Waits, in a thread, until the terminal closes, and exits the process at once.

    Textual's writer thread dies with the terminal. Its queue then fills up, and the event loop would wait for it forever.
    Nothing needs to be restored.
    """
    poll = select.poll()
    poll.register(descriptor, 0)  # POLLHUP and POLLERR are always reported (poll(2))
    poll.poll()
    os._exit(128 + signal.SIGHUP)


def is_serious(event: Event) -> bool:
    return isinstance(event, Refused) and severity(event) is Severity.SERIOUS


def harmless_lines(text: str) -> str:
    return "\n".join(harmless(line) for line in text.splitlines())


class Dashboard(Actions):
    """The app. After `run`, `left` is the exit code, or None to open the session."""

    BINDINGS = BINDINGS
    TITLE = "codetainer"
    # Textual does not load the CSS_PATH of an app's first screen.
    CSS_PATH: ClassVar = ["app.tcss", "screens/main.tcss"]

    def __init__(
        self,
        source: Source,
        paths: Paths | None,
        *,
        stay: bool,
        preferences: Preferences | None = None,
        patience: float = 0.0,
        of_up: str = "",
        locked: bool = False,
        read_only: bool = False,
        colours: Colours | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`Stopping` explains `of_up`. `read_only`: not root. `locked`: keys, meant for the session, wait for UNLOCK."""
        # With NO_COLOR, Textual picks its colours in __init__, and without ansi_color it would paint black on black.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # only the terminal's own colours
        if colours is None:
            colours = Colours.NONE if process.environment().get("NO_COLOR") else Colours.SIXTEEN
        self.source, self.paths = source, paths
        self.left: int | None = 0
        self.state = State()
        self._preferences = preferences or Preferences()
        self.of_up = of_up
        self.keys = Keys(self._preferences.keys, of_up=bool(of_up), read_only=read_only)
        self.main = MainScreen(Ink(colours), self.keys)
        self.keys.locked = locked
        self._patience = patience  # seconds until a notice about a slow boot; 0: never
        self._steady = steady
        self._stay = stay
        self._events: deque[Stamped] = deque(maxlen=MAX_EVENTS)
        self._serious: deque[Stamped] = deque(maxlen=MAX_SERIOUS)  # a flood of others would push them out of _events
        self._words = Lines()
        self._pending: dict[str, tuple[str, float]] = {}
        self._notice_until = 0.0
        self._notice_holds: Callable[[], bool] | None = None
        self._notice_held = False
        self._opens_at: float | None = None
        self._first = ""
        self._unnotified: State | None = None  # the state before the first event that awaits a notification
        self._notified_at = -NOTIFY_SECONDS
        self._unalarmed: State | None = None  # the same for serious refusals
        self._alarmed_at = -NOTIFY_SECONDS
        self._viewed_at = -STILL_SECONDS
        self._seen_at = source.now()
        self._title = ""
        self._typed_at = 0.0
        self.view: View = view(self.state, source.now())

    def get_default_screen(self) -> MainScreen:
        return self.main

    def now_steady(self) -> float:
        return self._steady()

    def on_mount(self) -> None:
        self.set_keymap(self.keys.keymap)
        if self._first:
            self.say(self._first, Tone.WARN, seconds=60.0)
        if self.keys.locked:
            self._typed_at = self._steady()
            self.say(LOCKED, Tone.WARN, seconds=FOR_EVER)
        self.tick()
        self.set_interval(TICK_SECONDS, self.tick)
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            # Textual does not restore the terminal on these signals.
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.leave, 128 + number)
            threading.Thread(target=end_with_terminal, daemon=True).start()
            self._to_terminal("\x1b[22;2t")  # saves the title; leave() restores it

    def leave(self, code: int | None) -> None:
        self.left = code
        if self._title:
            self._to_terminal("\x1b[23;2t")
        self.exit(return_code=code or 0)

    def _to_terminal(self, text: str) -> None:
        if self._driver is not None and not self.is_headless:
            with contextlib.suppress(OSError):
                self._driver.write(text)

    async def on_event(self, event: events.Event) -> None:
        if self.keys.locked and isinstance(event, events.Key | events.Paste | events.MouseEvent):
            self._unlock(event)
            return
        if isinstance(event, events.Key):
            self._seen_at = self.source.now()
            if self._opens_at is not None and event.key != "t":
                self._opens_at, self._stay, self.main.just_booted = None, True, False
                self.say(f"staying here; {self.keys.shown('open_session')} opens the session")
                return
        await super().on_event(event)

    def _unlock(self, event: events.Event) -> None:
        """Unlocks the keys on UNLOCK, which is not text, if no other key came for QUIET_SECONDS."""
        quiet, self._typed_at = self._steady() - self._typed_at, self._steady()
        if isinstance(event, events.Key) and event.key == UNLOCK and quiet >= QUIET_SECONDS:
            self.keys.locked = False
            self.say("")
            self._show(self._steady())

    def tick(self) -> None:
        """Polls the source and updates the screen."""
        new = self.source.poll()
        moment, alarmed = self._steady(), False
        if new:
            before, self.state = self.state, fold_all(new, self.state)
            if before.boot is not None:  # no notification about events from before the dashboard opened
                self._unnotified = self._unnotified or before
                self._unalarmed = self._unalarmed or before
            alarmed = self.state.refusals.alarm_keys != before.refusals.alarm_keys
            self._events.extend(new)
            self._serious.extend(one for one in new if is_serious(one.event))
            if self.coming is not None:
                self.coming.extend(line for stamped in new for line in self._words.of(stamped))
        self._notify(moment)
        still = moment - self._viewed_at < STILL_SECONDS and not self.view.booting
        # Ordinary refusals are drawn once a second, everything else at once.
        if not still or alarmed or any(not isinstance(stamped.event, Refused) for stamped in new):
            self._viewed_at = moment
            self._show(moment)
        self._end_notice(moment)
        self._report_slow_boot()
        self._count_down(moment)

    def _notify(self, moment: float) -> None:
        """Sends due notifications. Events too soon after the last notification share the next one."""
        wanted = self._preferences.notify
        looking = wanted is Notify.NEVER or (wanted is Notify.BLUR and self.app_focus)
        # The intervals are independent: a flood of ordinary refusals does not delay serious ones.
        if self._unalarmed is not None:
            text = "" if looking else notify.alarm(self._unalarmed, self.state)
            if not text or moment - self._alarmed_at >= NOTIFY_SECONDS:
                self._unalarmed = None
                self._alarmed_at = moment if self._send(text) else self._alarmed_at
        if self._unnotified is not None:
            text = "" if looking else notify.news(self._unnotified, self.state)
            if not text or moment - self._notified_at >= NOTIFY_SECONDS:
                self._unnotified = None
                self._notified_at = moment if self._send(text) else self._notified_at

    def _send(self, text: str) -> bool:
        """Sends a notification. Returns False if the text is empty."""
        if text:
            self._to_terminal(notify.sequence(text))
        return bool(text)

    def _report_slow_boot(self) -> None:
        """Shows a notice once if boot takes longer than a login waits for it."""
        if self._patience and self.view.booting and self.state.started_at:
            waited = self.source.now() - self.state.started_at
            if waited > self._patience:
                log = self.keys.shown("log")
                self.say(
                    f"boot is still running after {lasting(self._patience)}; {log} shows the log", Tone.WARN, seconds=3600.0
                )
                self._patience = 0.0

    def _show(self, moment: float) -> None:
        self._pending = {key: notice for key, notice in self._pending.items() if notice[1] > moment}
        self.view = view(
            self.state, self.source.now(), seen_at=self._seen_at, wanted=self.main.wanted,
            pending={key: text for key, (text, _) in self._pending.items()}, supervised=self.source.supervised(),
        )  # fmt: skip
        self.main.show(self.view, moment)
        if self.view.title != self._title:
            self._title = self.view.title
            self._to_terminal(f"\x1b]2;{self._title}\x07")

    def _count_down(self, moment: float) -> None:
        """Shows the countdown before the session opens. Paused on other screens, and not if the agent has exited."""
        if self._stay or not self.view.session or self.view.ended or self.screen is not self.main:
            self._opens_at = None
            self.main.just_booted = False
            return
        if self._opens_at is None:
            self._opens_at = moment + NOTICE_SECONDS
            self.main.just_booted = True
        left = self._opens_at - moment
        if left > 0:
            self.say(
                f"{self.view.headline.word}: the session opens in {int(left) + 1} s; press any key to stay here", Tone.WARN
            )
            return
        self._opens_at, self._stay = None, True
        self.action_open_session()

    def say_first(self, text: str) -> None:
        """Sets the first notice, before the screen exists."""
        self._first = text

    def on_main_screen_wanted(self) -> None:
        """Shows the rows of a new filter at once."""
        self._show(self._steady())
        self._end_notice(self._steady())

    def _fatal_error(self) -> None:
        """Prints a plain traceback. Textual's prints the variables of each frame, which may hold secrets."""
        self.panic(Text(harmless_lines(traceback.format_exc())))

    def say(self, text: str, tone: Tone = Tone.PLAIN, *, seconds: float = 8.0, holds: Callable[[], bool] | None = None) -> None:
        """Shows a notice for a while. It ends earlier if `holds` becomes false: it is no longer true."""
        self._notice_until = self._steady() + seconds if text else 0.0
        self._notice_holds, self._notice_held = holds, holds is None or holds()
        self.main.say(text, tone)

    def _end_notice(self, moment: float) -> None:
        """Removes a notice whose time is up, or that is no longer true."""
        holds = self._notice_holds is None or self._notice_holds()
        if self._notice_until and (moment >= self._notice_until or (self._notice_held and not holds)):
            self.say("")
        self._notice_held = self._notice_held or holds

    def pend(self, key: str, text: str, *, seconds: float = 60.0) -> None:
        """Shows a notice on a row for a while."""
        moment = self._steady()
        self._pending[key] = (text, moment + seconds)
        self._show(moment)

    def log_lines(self) -> list[str]:
        """The stored events as text."""
        self._words = Lines(self.state)
        begin = self._events[0].seq if self._events else 0
        events = (*(one for one in self._serious if one.seq < begin), *self._events)
        return [line for stamped in events for line in self._words.of(stamped)]

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The entries of the command palette: the same actions as the keys."""
        for action in self.keys.offered:
            yield SystemCommand(f"{action.label} ({action.shown})", action.says, getattr(self, f"action_{action.name}"))
