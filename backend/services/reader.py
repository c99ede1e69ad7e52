"""Supervises the reader: the part of the gate that reads what the model is asked to do (network/gate/reader/).

The reader has a uid of its own and no capabilities. Its system call filter leaves it unix sockets, but no files and no network.
It gets orders on stdin and reports on stdout, as JSON lines. It ends when its orders end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from backend import system
from backend.contract.events import BudgetChanged, BudgetLevel, Event, ModelUsed, Noted
from backend.contract.paths import Paths
from backend.services.gate import ONWARD, READER_SOCKET, Gate
from backend.services.service import Service, lines
from backend.services.tasks import Tasks
from backend.system import GATE, READER, SystemFailure
from network.gate import budget, calls
from network.gate.budget import Account, Kind, Limit, Used
from network.gate.calls import Note

ANSWER_SECONDS = 5.0
UNLIMITED = -1
PRICES = budget.prices(budget.PRICES.read_text(encoding="utf-8"))
MAX_CALLS = 1000  # notes about calls that wait for the watchdog; the oldest are dropped
MAX_UNKNOWN = 8  # models without a price that are named; their ids come from the API


class Reader:
    """The service, and the account of what the model has used.

    `tools` are the operator's words for what the model may use (CODETAINER_MODEL_TOOLS). The account is kept in a file, so it
    survives a restart of the reader and of boot.
    """

    def __init__(self, paths: Paths, gate: Gate, emit: Callable[[Event], None]) -> None:
        self._paths, self._gate, self._emit = paths, gate, emit
        self.service = Service("reader", self._spawn, self._ready, emit)
        self.tools: tuple[str, ...] = ()
        self.placeholders: Mapping[str, str] = {}  # by variable
        self._calls: deque[Note] = deque(maxlen=MAX_CALLS)
        self.account = Account()
        self._begun = 0  # calls since the reader's start
        self._ordered: dict[str, object] = {}  # the orders in force
        self._level = BudgetLevel.FINE
        self._told: ModelUsed | None = None
        self._tasks = Tasks()
        self._orders: asyncio.StreamWriter | None = None
        self._waiting: list[asyncio.Future[None]] = []  # for the answers to orders, in order

    async def order(self, seconds: float = ANSWER_SECONDS) -> None:
        """Sends the current orders; returns when they are in force. Raises SystemFailure."""
        if self._orders is None:
            raise SystemFailure("cannot ask the reader: it is not running")
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._ordered = self._current()
        self._orders.write(json.dumps(self._ordered).encode() + b"\n")
        try:
            await asyncio.wait_for(waiting, seconds)
        except TimeoutError as error:
            raise SystemFailure(f"cannot ask the reader: no answer within {seconds:g} s") from error

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._gate.make_folders()
        with contextlib.closing(self._gate.socket(READER_SOCKET, GATE)) as listener:
            process = await system.spawn(
                [str(self._paths.reader), str(listener.fileno()), ONWARD], identity=READER,
                environment={"PATH": system.SYSTEM_PATH, "GOMAXPROCS": "2"}, cwd=self._gate.root,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                pass_fds=(listener.fileno(),),
            )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._orders, self._waiting, self._begun = process.stdin, [], 0
        self._tasks.begin(self._listen(process.stdout, self._waiting))
        self._tasks.begin(self._read_errors(process.stderr))
        return process

    async def _ready(self) -> None:
        await self.order()

    async def _listen(self, notes: asyncio.StreamReader, waiting: list[asyncio.Future[None]]) -> None:
        async for line in lines(notes):
            try:
                self._heard(json.loads(line), waiting)
            except ValueError as error:
                self._emit(Noted("error", f"invalid message from the reader: {error}"))
        for each in waiting:
            if not each.done():
                each.set_exception(SystemFailure("cannot ask the reader: it has exited"))

    def _heard(self, note: Mapping[str, Any], waiting: list[asyncio.Future[None]]) -> None:
        if note.get("ready") and waiting:
            first = waiting.pop(0)
            if not first.done():
                first.set_result(None)
        if note.get("begun"):
            self._begun += 1
            self._add(Used(calls=1))
        if isinstance(used := note.get("used"), dict):
            self._used(used)
        if (call := calls.parse(note)) is not None:
            self._calls.append(call)

    def take_calls(self) -> list[Note]:
        """Returns what became of calls of the model since the last call, in order."""
        taken = list(self._calls)
        self._calls.clear()
        return taken

    # --- budget ---

    def begin(self, limits: tuple[Limit, ...]) -> None:
        """Sets the limits, and restores the account of an earlier boot of this sandbox."""
        self.account = replace(self.account, limits=limits)
        try:
            self.account = budget.restored(json.loads(self._paths.budget.read_text()), limits)
        except FileNotFoundError:
            pass  # the first boot of this sandbox
        except (ValueError, TypeError, KeyError, OSError) as error:
            self._emit(Noted("error", f"cannot read what the model has used so far: {error}; counting starts at zero"))

    def raise_limits(self, amounts: Mapping[Kind, float]) -> None:
        """Adds to the limits of these kinds."""
        self._changed(self.account.raised(amounts, time.time()))

    def take_used(self) -> list[Event]:
        """Returns what has changed since the last call: totals, and whether a limit is nearly or wholly used up."""
        now = time.time()
        account, events = self.account, list[Event]()
        used = ModelUsed(
            account.total.calls, account.total.input, account.total.output, account.total.cached, round(account.total.cost, 4),
            tuple(limit.words(used) for limit, used in account.in_force(now)), round(account.share(now), 3), account.estimated,
            account.unknown,
        )  # fmt: skip
        if used != self._told and (self._told is not None or account.total.calls or account.limits):
            self._told = used
            events.append(used)
        share = used.share
        level = BudgetLevel.USED_UP if share >= 1 else BudgetLevel.WARNED if share >= budget.WARN_AT else BudgetLevel.FINE
        if level is not self._level:
            self._level = level
            pair = account.fullest(now)
            events.append(BudgetChanged(level, pair[0].words(pair[1]) if pair else ""))
        if self._ordered and self._ordered != self._current():  # also because an hour is over
            self._send()
        return events

    def _current(self) -> dict[str, object]:
        now = time.time()
        left = self.account.calls_left(now)
        allowed = UNLIMITED if left is None else self._begun + left
        variables = {placeholder: variable for variable, placeholder in self.placeholders.items()}
        return {
            "tools": list(self.tools), "calls": allowed, "refusal": self.account.refusal(now), "placeholders": variables,
        }  # fmt: skip

    def _used(self, note: Mapping[str, Any]) -> None:
        fresh, output, read, written, searches = (
            max(0, int(note.get(name) or 0)) for name in ("input", "output", "cache_read", "cache_write", "searches")
        )
        model = "".join(c if c.isprintable() else "?" for c in str(note.get("model") or ""))[:80]
        account = self.account
        if note.get("estimated"):
            account = replace(account, estimated=account.estimated + 1)
        if model and not PRICES.known(model) and model not in account.unknown and len(account.unknown) < MAX_UNKNOWN:
            account = replace(account, unknown=(*account.unknown, model))
            self._emit(Noted("warning", f"no price is known for the model {model}: it counts as the most expensive one"))
        self.account = account
        self._add(Used(0, fresh, output, read + written, PRICES.cost(model, (fresh, output, read, written), searches)))

    def _add(self, used: Used) -> None:
        self._changed(self.account.adding(used, time.time()))

    def _changed(self, account: Account) -> None:
        self.account = account
        try:
            system.write(self._paths.budget, json.dumps(budget.as_json(account)), mode=0o600)
        except OSError as error:
            self._emit(Noted("error", f"cannot keep what the model has used: {error.strerror}"))
        if self._ordered and self._ordered != self._current():
            self._send()

    def _send(self) -> None:
        """Sends the current orders without waiting for the answer."""
        if self._orders is None or self._orders.is_closing():
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits for it
        self._waiting.append(waiting)
        self._ordered = self._current()
        self._orders.write(json.dumps(self._ordered).encode() + b"\n")

    async def _read_errors(self, output: asyncio.StreamReader) -> None:
        async for line in lines(output):
            self._emit(Noted("error", f"reader: {line[:300]}"))
