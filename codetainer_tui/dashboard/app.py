"""The dashboard's app: polls its source four times a second, folds, and hands the screen one frozen View."""

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
STILL_SECONDS = 1.0  # where nothing happens, times in words are looked at once a second
NOTICE_SECONDS = 3.0  # before the hand-over
NOTIFY_SECONDS = 15.0  # between two notifications: a scan is one, not a bell a tick
MAX_EVENTS, MAX_SERIOUS = 3000, 500  # kept for the log
FOR_EVER = 1e9  # seconds
QUIET_SECONDS = 1.0
LOCKED = f"the session closed by itself: keys are ignored here until you press {UNLOCK}"


def end_with_terminal(descriptor: int = 0) -> None:
    """Ends this process when its terminal has gone.

    Waits in a thread: Textual's writer dies with the terminal, its queue fills, and the event loop then waits on that for ever.
    There is nothing left to restore, so nothing is lost by ending at once.
    """
    poll = select.poll()
    poll.register(descriptor, 0)  # POLLHUP and POLLERR are reported without being asked for (poll(2))
    poll.poll()
    os._exit(128 + signal.SIGHUP)


def is_serious(event: Event) -> bool:
    return isinstance(event, Refused) and severity(event) is Severity.SERIOUS


def harmless_lines(text: str) -> str:
    return "\n".join(harmless(line) for line in text.splitlines())


class Dashboard(Actions):
    """`left` is the exit code after `run`, None for "into the session"."""

    BINDINGS = BINDINGS
    TITLE = "codetainer"
    # Of an app's first screen, Textual loads no CSS_PATH of its own.
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
        colours: Colours | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`of_up` as in Stopping. `locked`: keys do nothing until UNLOCK: they were being typed for the session."""
        # Said here already: with NO_COLOR, Textual decides in __init__ how colours go, and would paint black on black.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colours, all of them
        if colours is None:
            colours = Colours.NONE if process.environment().get("NO_COLOR") else Colours.SIXTEEN
        self.source, self.paths = source, paths
        self.left: int | None = 0
        self.state = State()
        self._preferences = preferences or Preferences()
        self.of_up = of_up
        self.keys = Keys(self._preferences.keys, of_up=bool(of_up))
        self.main = MainScreen(Ink(colours), self.keys)
        self.keys.locked = locked
        self._patience = patience  # seconds until a boot that is not over is remarked upon; 0: never
        self._steady = steady
        self._stay = stay
        self._events: deque[Stamped] = deque(maxlen=MAX_EVENTS)
        self._serious: deque[Stamped] = deque(maxlen=MAX_SERIOUS)  # which a flood of others pushes out of those
        self._words = Lines()
        self._pending: dict[str, tuple[str, float]] = {}
        self._notice_until = 0.0
        self._opens_at: float | None = None
        self._first = ""
        self._untold: State | None = None  # the state before the first of the news that wait to be told
        self._notified_at = -NOTIFY_SECONDS
        self._unalarmed: State | None = None  # the same of what is serious
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

    # --- life ---

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
            # Textual restores the terminal on none of these by itself.
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.leave, 128 + number)
            threading.Thread(target=end_with_terminal, daemon=True).start()
            self._to_terminal("\x1b[22;2t")  # remembers the title; given back when we leave

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
                self.say("staying here; t opens the session")
                return
        await super().on_event(event)

    def _unlock(self, event: events.Event) -> None:
        """Only a key that nobody types as text, and only when nothing else has been typed for a moment."""
        quiet, self._typed_at = self._steady() - self._typed_at, self._steady()
        if isinstance(event, events.Key) and event.key == UNLOCK and quiet >= QUIET_SECONDS:
            self.keys.locked = False
            self.say("")
            self._show(self._steady())

    # --- the tick ---

    def tick(self) -> None:
        found = self.source.poll()
        moment, alarmed = self._steady(), False
        if found:
            before, self.state = self.state, fold_all(found, self.state)
            if before.boot is not None:  # what was there when the dashboard was opened is no news
                self._untold = self._untold or before
                self._unalarmed = self._unalarmed or before
            alarmed = self.state.refusals.alarm_keys != before.refusals.alarm_keys
            self._events.extend(found)
            self._serious.extend(one for one in found if is_serious(one.event))
            if self.coming is not None:
                self.coming.extend(line for stamped in found for line in self._words.of(stamped))
        self._notify(moment)
        still = moment - self._viewed_at < STILL_SECONDS and not self.view.booting
        # A flood of refusals is shown once a second; whatever else happens, and what is serious, at once.
        if not still or alarmed or any(not isinstance(stamped.event, Refused) for stamped in found):
            self._viewed_at = moment
            self._show(moment)
        if self._notice_until and moment >= self._notice_until:
            self.say("")
        self._remark()
        self._count_down(moment)

    def _notify(self, moment: float) -> None:
        """For who looks elsewhere. What comes too soon after the last notification waits, and is told as one."""
        wanted = self._preferences.notify
        looking = wanted is Notify.NEVER or (wanted is Notify.BLUR and self.app_focus)
        # Each has a pause of its own: a flood of names that are not listed holds up nothing that is serious.
        if self._unalarmed is not None:
            text = "" if looking else notify.alarm(self._unalarmed, self.state)
            if not text or moment - self._alarmed_at >= NOTIFY_SECONDS:
                self._unalarmed = None
                self._alarmed_at = moment if self._tells(text) else self._alarmed_at
        if self._untold is not None:
            text = "" if looking else notify.news(self._untold, self.state)
            if not text or moment - self._notified_at >= NOTIFY_SECONDS:
                self._untold = None
                self._notified_at = moment if self._tells(text) else self._notified_at

    def _tells(self, text: str) -> bool:
        if text:
            self._to_terminal(notify.sequence(text))
        return bool(text)

    def _remark(self) -> None:
        """A login waits for boot so long; longer is said, once. Boot goes on, and so does this screen."""
        if self._patience and self.view.booting and self.state.started_at:
            waited = self.source.now() - self.state.started_at
            if waited > self._patience:
                self.say(f"boot is not over after {lasting(self._patience)}; l shows what it does", Tone.WARN, seconds=3600.0)
                self._patience = 0.0

    def _show(self, moment: float) -> None:
        self._pending = {key: said for key, said in self._pending.items() if said[1] > moment}
        self.view = view(
            self.state, self.source.now(), seen_at=self._seen_at, wanted=self.main.wanted,
            pending={key: text for key, (text, _) in self._pending.items()}, supervised=self.source.supervised(),
        )  # fmt: skip
        self.main.show(self.view, moment)
        if self.view.title != self._title:
            self._title = self.view.title
            self._to_terminal(f"\x1b]2;{self._title}\x07")

    def _count_down(self, moment: float) -> None:
        """The notice before the hand-over. Not while something else is being read, nor where the agent has ended."""
        if self._stay or not self.view.session or self.view.ended or self.screen is not self.main:
            self._opens_at = None
            self.main.just_booted = False
            return
        if self._opens_at is None:
            self._opens_at = moment + NOTICE_SECONDS
            self.main.just_booted = True
        left = self._opens_at - moment
        if left > 0:
            self.say(f"{self.view.headline.word}: the session opens in {int(left) + 1} s, any key stays", Tone.WARN)
            return
        self._opens_at, self._stay = None, True
        self.action_open_session()

    def say_first(self, text: str) -> None:
        """Says something as soon as there is a screen."""
        self._first = text

    def on_main_screen_wanted(self) -> None:
        """Another filter: its rows at once, not with the next tick."""
        self._show(self._steady())

    def _fatal_error(self) -> None:
        """Textual's own shows the values of each frame, and a value may be anything."""
        self.panic(Text(harmless_lines(traceback.format_exc())))

    # --- for the actions ---

    def say(self, text: str, tone: Tone = Tone.PLAIN, *, seconds: float = 8.0) -> None:
        self._notice_until = self._steady() + seconds if text else 0.0
        self.main.say(text, tone)

    def pend(self, key: str, text: str, *, seconds: float = 60.0) -> None:
        moment = self._steady()
        self._pending[key] = (text, moment + seconds)
        self._show(moment)

    def log_lines(self) -> list[str]:
        self._words = Lines(self.state)
        begin = self._events[0].seq if self._events else 0
        events = (*(one for one in self._serious if one.seq < begin), *self._events)
        return [line for stamped in events for line in self._words.of(stamped)]

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The command palette: the same actions as the keys."""
        for action in self.keys.actions:
            yield SystemCommand(f"{action.label} ({action.shown})", action.says, getattr(self, f"action_{action.name}"))
