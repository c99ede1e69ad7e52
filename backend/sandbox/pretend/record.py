"""The pretend internet's log of requests, one JSON object per line, for tests and for the operator."""

from __future__ import annotations

import json
import os
import threading
import time


class Record:
    """Appends to a descriptor that was opened before the namespaces were created. With -1, records nothing."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def add(self, kind: str, **fields: object) -> None:
        if self._descriptor < 0:
            return
        line = json.dumps({"at": round(time.time(), 4), "kind": kind, **fields}, default=str) + "\n"
        with self._lock:
            os.write(self._descriptor, line.encode())
