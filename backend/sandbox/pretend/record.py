"""What the pretend internet saw: one JSON object a line, for tests and for whoever looks on."""

from __future__ import annotations

import json
import os
import threading
import time


class Record:
    """Appends to a descriptor that was opened before the namespaces were made; -1 for nowhere."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def add(self, kind: str, **fields: object) -> None:
        if self._descriptor < 0:
            return
        line = json.dumps({"at": round(time.time(), 4), "kind": kind, **fields}, default=str) + "\n"
        with self._lock:
            os.write(self._descriptor, line.encode())
