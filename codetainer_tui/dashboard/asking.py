"""Asking the sandbox from the dashboard. Every effect shows at once, on the row it concerns or in the notice line."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.app import App

from backend.contract.control import Reply, Request
from backend.contract.paths import Paths
from codetainer_tui.ask import ask
from codetainer_tui.dashboard import copied
from codetainer_tui.dashboard.keys import Keys
from codetainer_tui.dashboard.screens.main import MainScreen
from codetainer_tui.view import Tone, View

RECORDING = "this is a recording: nothing can be asked of it"


class Asking(App[None]):
    """What every action needs: a way to ask, and places to say what came of it."""

    main: MainScreen
    keys: Keys
    view: View
    paths: Paths | None

    def say(self, text: str, tone: Tone = Tone.PLAIN, *, seconds: float = 8.0) -> None:
        raise NotImplementedError

    def pend(self, key: str, text: str, *, seconds: float = 60.0) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        raise NotImplementedError

    def now_steady(self) -> float:
        return time.monotonic()

    # --- asking ---

    def request(self, request: Request, typed: str, said: Callable[[Reply], None], row: str = "") -> None:
        """Asks the sandbox in a thread: a boot that is tried again takes its time."""
        paths = self.paths
        if paths is None:
            self.say(RECORDING, Tone.WARN)
            return
        if row:
            self.pend(row, "asking …")
        else:
            self.say("asking …")

        def work() -> None:
            reply = ask(paths.control, request, typed)
            self.call_from_thread(said, reply)

        self.run_worker(work, thread=True, group=typed)

    def _told(self, reply: Reply) -> None:
        text = reply.text if reply.ok or not reply.hint else f"{reply.text}. {reply.hint}"
        self.say(text or "done", Tone.PLAIN if reply.ok else Tone.WARN)

    def _told_row(self, row: str) -> Callable[[Reply], None]:
        def told(reply: Reply) -> None:
            # What was done stands in the journal already, and then on the row.
            self.pend(row, "" if reply.ok else reply.text, seconds=10.0)
            self.tick()
            self._told(reply)

        return told

    def copy(self, text: str) -> str:
        """Copies by way of the terminal, or into a file where that is too long; says what came of it."""
        if len(text.encode()) > copied.MAX_COPIED:
            return copied.to_file(text)
        self.copy_to_clipboard(text)
        return copied.said(text)
