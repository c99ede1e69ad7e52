"""The journal: one event per line in `/run/codetainer/events.jsonl`, written only by `boot`, readable by all users.

Beyond `segment_bytes` a new segment replaces the file. It begins with a snapshot of the folded state, so readers need only the
current segment. The previous one stays as `events.1.jsonl`. A full tmpfs does not stop the supervisor: the journal counts lost
events and, once there is room, reports their number and writes a snapshot, because a lost event may have changed the state.

The lines form a hash chain (contract/chain.py). `seal` signs its head with a key that is used once and names the next one, so
that a process that becomes root later can no longer change what was sealed. A segment ends with a seal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from backend.chained_log import ChainedLog
from backend.contract import chain
from backend.contract.events import Event, JournalSealed, Noted, Snapshot, Stamped, encode
from backend.contract.paths import Paths
from backend.contract.state import State, fold
from backend.signing_key import SigningKey

SEGMENT_BYTES = 4 << 20


class Journal:
    """Appends events and keeps the state they fold into. `traffic_head` returns the head of the traffic log, for seals."""

    def __init__(self, paths: Paths, segment_bytes: int = SEGMENT_BYTES, clock: Callable[[], float] = time.time) -> None:
        self._log = ChainedLog(paths.journal, paths.journal.with_name("events.1.jsonl"))
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._seq = 0
        self._lost = 0
        self._behind = False  # events were lost, and no snapshot has been written since
        self._key: SigningKey | None = None  # of the next seal; None before begin_seals
        self._seals = 0
        self._sealed = ""  # the head after the last seal
        self.traffic_head: Callable[[], str] = str
        self.state = State()
        self.observer: Callable[[Stamped, State, State], None] | None = None  # gets each event, and the states around it

    @property
    def head(self) -> str:
        """The chain's head: who notes it elsewhere can tell later whether the lines up to it were changed."""
        return self._log.head

    def emit(self, event: Event, at: float | None = None) -> None:
        """Stamps and appends an event. A full file system raises no error."""
        stamped = self._stamp(event, at)
        before, self.state = self.state, fold(self.state, stamped)
        if self.observer is not None:
            self.observer(stamped, before, self.state)
        if not self._log.append(encode(stamped)):
            self._lost += 1
            self._behind = True
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self.emit(Noted("warning", f"{lost} events were lost: the journal could not be written"))
            if self._lost:
                self._lost = lost  # there was no room for the note
            return
        if self._behind and self._log.append(self._snapshot()):
            self._behind = False
        if self._log.size > self._segment_bytes:
            self._rotate()

    def _stamp(self, event: Event, at: float | None = None) -> Stamped:
        # Rounded as in the file, so that reading the journal gives the same state.
        self._seq += 1
        return Stamped(round(self._clock() if at is None else at, 3), self._seq, event)

    def _snapshot(self) -> str:
        return encode(Stamped(self.state.updated_at, self._seq, Snapshot(self.state.as_json())))

    def _rotate(self) -> None:
        self.seal()
        if self._log.turn(self._snapshot()):
            self._behind = False
        else:
            self._behind = True

    # --- seals ---

    def begin_seals(self) -> None:
        """Publishes the key of the first seal. Raises OSError without libcrypto; then the journal has no seals."""
        key = SigningKey()
        self._append_seal(JournalSealed(0, self.head, self.traffic_head(), key.public))
        self._key = key

    def seal(self, *, last: bool = False) -> None:
        """Seals all lines since the last seal, if there are any. `last`: the sandbox ends."""
        if self._key is None or (self.head == self._sealed and not last):
            return
        head, traffic, following = self.head, self.traffic_head(), SigningKey()
        number = self._seals + 1
        signature = self._key.sign(chain.sealed_text(number, head, traffic, following.public, last=last))
        if self._append_seal(JournalSealed(number, head, traffic, following.public, signature, last)):
            self._key.close()
            self._key, self._seals = following, number
        else:
            following.close()  # without room: sealed later, with the same key

    def _append_seal(self, event: JournalSealed) -> bool:
        stamped = self._stamp(event)
        state = fold(self.state, stamped)
        if not self._log.append(encode(stamped)):
            self._seq -= 1
            return False
        before, self.state, self._sealed = self.state, state, self.head
        if self.observer is not None:
            self.observer(stamped, before, state)
        return True

    def close(self) -> None:
        self.seal(last=True)
        self._log.close()
