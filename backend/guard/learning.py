"""Names that a learning run may open: the guard looks them up, at most so many and so fast; then the supervisor opens them.

The answer to the program is held until the name is open, so the first connection works. A learning run is a wide channel, and
DNS is the narrow part of it: bounded here, whatever the names contain.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from backend.contract.crowds import domain
from backend.guard.channel import Configure, Found, Message
from backend.guard.upstream import UpstreamError
from network.allowlist import Allowlist
from network.names import EntryError, normalise

MAX_NAMES = 500  # different names that are looked up in a run
MAX_LENGTH = 200  # characters of a name; the gate's files for a name are called by it
MAX_BELOW = 40  # of them below one domain
MAX_AT_ONCE, A_SECOND = 40, 2.0  # lookups of new names
OPEN_SECONDS = 8.0  # until a name has to be open; a client waits for 5 s and asks again
NOT_OPENED = "the name could not be opened in time"
# Names that no public resolver knows (RFC 6761, RFC 9476 and others; ICANN reserved internal): they would leak to the resolver.
PRIVATE_TOPS = frozenset(
    ("alt", "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost", "onion")
)


def configured(
    before: Learner | None, message: Configure, allowlist: Allowlist, send: Callable[[Message], None]
) -> Learner | None:
    """The learner for a configuration, None unless this is a learning run. Lets those continue whose name is listed now."""
    if not message.learning:
        return None
    learner = before or Learner(lambda name: send(Found(name)), time.monotonic)
    learner.never = frozenset(message.never)
    learner.changed(lambda name: allowlist.match(name) is not None)
    return learner


class Learner:
    """Decides about names that are not on the allowlist. `found` tells the supervisor to open one."""

    def __init__(self, found: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._found, self._clock = found, clock
        self.never: frozenset[str] = frozenset()  # hosts of credentials, and what the operator has closed
        self._seen: set[str] = set()
        self._below: dict[str, int] = {}
        self._tokens, self._at = float(MAX_AT_ONCE), clock()
        self._waiting: dict[str, asyncio.Event] = {}

    def refuses(self, name: str) -> bool:
        """True if a name must not be looked up. Counts it otherwise."""
        if len(name) > MAX_LENGTH or name.rpartition(".")[2] in PRIVATE_TOPS or name in self.never:
            return True
        try:
            if normalise(name) != name:
                return True
        except EntryError:
            return True
        now = self._clock()
        self._tokens, self._at = min(MAX_AT_ONCE, self._tokens + (now - self._at) * A_SECOND), now
        if self._tokens < 1:
            return True
        parent = domain(name)
        if name not in self._seen:
            if len(self._seen) >= MAX_NAMES or self._below.get(parent, 0) >= MAX_BELOW:
                return True
            self._seen.add(name)
            self._below[parent] = self._below.get(parent, 0) + 1
        self._tokens -= 1
        return False

    async def open(self, name: str) -> None:
        """Has a name opened; returns when it is on the allowlist. Raises UpstreamError if that takes too long."""
        event = self._waiting.setdefault(name, asyncio.Event())
        self._found(name)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await event.wait()
        except TimeoutError as error:
            raise UpstreamError(f"cannot open {name}: {NOT_OPENED}", NOT_OPENED) from error
        finally:
            with contextlib.suppress(KeyError):
                del self._waiting[name]

    def changed(self, listed: Callable[[str], bool]) -> None:
        """The allowlist has changed: lets those continue whose name is on it now."""
        for name, event in self._waiting.items():
            if listed(name):
                event.set()
