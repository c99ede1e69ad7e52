"""Requests from the dashboard to the sandbox. Each result is shown at once, on its row or in the notice line."""

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
    """The base of all actions: sends requests and shows the replies."""

    main: MainScreen
    keys: Keys
    view: View
    paths: Paths | None

    def say(self, text: str, tone: Tone = Tone.PLAIN, *, seconds: float = 8.0, holds: Callable[[], bool] | None = None) -> None:
        raise NotImplementedError

    def pend(self, key: str, text: str, *, seconds: float = 60.0) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        raise NotImplementedError

    def now_steady(self) -> float:
        return time.monotonic()

    # --- asking ---

    def read_only(self, typed: str) -> bool:
        """If this user may not ask the sandbox: says what to ask the operator for, before anything can be chosen."""
        if self.keys.read_only:
            self.say(f"read-only: ask the operator to run {typed}", Tone.WARN)
        return self.keys.read_only

    def request(self, request: Request, replied: Callable[[Reply], None], row: str = "") -> None:
        """Asks the sandbox in a thread, because a retry of boot takes time. `row` is the key of the row that it concerns."""
        paths = self.paths
        if self.read_only(request.typed()):
            return
        if paths is None:
            self.say(RECORDING, Tone.WARN)
            return
        if row:
            self.pend(row, "asking …")
        else:
            self.say("asking …")

        def work() -> None:
            reply = ask(paths.control, request)
            self.call_from_thread(replied, reply)

        self.run_worker(work, thread=True, group=request.typed())

    def _show_reply(self, reply: Reply, holds: Callable[[], bool] | None = None) -> None:
        """`holds` is true while the reply is."""
        text = reply.text if reply.ok or not reply.hint else f"{reply.text}. {reply.hint}"
        self.say(text or "done", Tone.PLAIN if reply.ok else Tone.WARN, holds=holds if reply.ok else None)

    def _show_on_row(self, row: str) -> Callable[[Reply], None]:
        def show(reply: Reply) -> None:
            # A success is in the journal already, and the row shows it from there.
            self.pend(row, "" if reply.ok else reply.text, seconds=10.0)
            self.tick()
            self._show_reply(reply)

        return show

    def copy(self, text: str) -> str:
        """Copies through the terminal, or into a file if the text is too long. Returns a report of it."""
        if len(text.encode()) > copied.MAX_COPIED:
            return copied.to_file(text)
        self.copy_to_clipboard(text)
        return copied.said(text)
