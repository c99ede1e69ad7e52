"""/metrics over HTTP: one path, MAX_CONNECTIONS connections for up to SECONDS each, one response per connection.

Boot passes the listening socket. This process may only read the journal, and its output contains no secrets.
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from backend.contract.paths import Paths
from codetainer_tui.journal import Reader, follow
from codetainer_tui.metrics.exposition import CONTENT_TYPE, text
from codetainer_tui.metrics.tally import Tally

MAX_CONNECTIONS = 8
SECONDS = 5.0  # lifetime of a connection
OFTEN = 1.0  # seconds during which a response is reused
YIELD_SECONDS = 1.0  # for the oldest connection to close
PATH = "/metrics"


class Source:
    """Counts the journal, and renders the metrics at most once per OFTEN."""

    def __init__(self, paths: Paths) -> None:
        self._reader, self._tally = Reader(paths.journal), Tally()
        self._lock = threading.Lock()
        self._written_at = 0.0
        self._text = b""

    def keep_up(self) -> None:
        """Reads the journal even without requests, because old segments are deleted."""
        with self._lock:
            self._read()

    def text(self) -> bytes:
        with self._lock:
            if not self._text or time.monotonic() - self._written_at >= OFTEN:
                self._read()
                self._text, self._written_at = text(self._tally), time.monotonic()
            return self._text

    def _read(self) -> None:
        self._tally.add(self._reader.poll())
        while self._reader.behind:
            self._tally.add(self._reader.poll())


class _Handler(http.server.BaseHTTPRequestHandler):
    server_version, sys_version = "codetainer", ""
    source: Callable[[], bytes]

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND, f"only {PATH} exists")
            return
        body = self.source()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing: otherwise clients could write to the log."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self, sock: socket.socket, source: Source) -> None:
        handler = type("Handler", (_Handler,), {"source": staticmethod(source.text)})
        super().__init__(("", 0), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: dict[int, Any] = {}  # connections being served, the oldest first
        self.service_actions = source.keep_up  # type: ignore[method-assign]  # between two requests, twice a second

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a thread for the connection. If all slots are taken, it closes the oldest one, which is likely idle."""
        if not self._room.acquire(blocking=False):
            for oldest in list(self._open.values())[:1]:
                _end(oldest)
            if not self._room.acquire(timeout=YIELD_SECONDS):
                self.shutdown_request(request)
                return
        self._open[id(request)] = request
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves the connection, and closes it after SECONDS whatever the client does."""
        timer = threading.Timer(SECONDS, _end, (request,))
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._open.pop(id(request), None)
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports defects of this program, but not connection errors."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.stderr.flush()


def _end(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def serve(paths: Paths, descriptor: int) -> int:
    """Serves until the process is stopped."""
    with Server(socket.socket(fileno=descriptor), Source(paths)) as server:
        sys.stderr.write("serving\n")
        sys.stderr.flush()
        server.serve_forever()
    return 0


def once(paths: Paths) -> int:
    """Prints the metrics. Returns 2 if the journal does not exist."""
    if not paths.journal.exists():
        sys.stderr.write("codetainer: no journal found: no sandbox has booted here\n")
        return 2
    tally = Tally()
    tally.add(follow(paths.journal, going_on=lambda: False))
    sys.stdout.write(text(tally).decode())
    return 0
