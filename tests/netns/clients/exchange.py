"""Requests over HTTP/1.1 and HTTP/2, with full control over the answer: interim answers, missing lengths, resets."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import ssl
import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

IDLE_SECONDS = 120.0  # longer than any connection lasts in a test
WINDOW = 1 << 24
PIECE = 1 << 17
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


@dataclass(slots=True)
class Body:
    """A request's body."""

    data: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        self.data += data

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class Exchange(ABC):
    """One request, and the functions that answer it. Sending raises OSError if the client has left."""

    version: str
    method: str
    host: str  # without port
    target: str  # path and query
    headers: Mapping[str, str]  # by name in lower case
    body: Body

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def content(self) -> bytes:
        """The body without its content encoding."""
        data = bytes(self.body.data)
        return gzip.decompress(data) if self.headers.get("content-encoding") == "gzip" else data

    @abstractmethod
    def inform(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends an interim answer (1xx)."""

    @abstractmethod
    def begin(self, status: int, headers: Mapping[str, str], size: int | None) -> None:
        """Sends the status and headers. Without `size`, the answer is chunked (HTTP/1.1) or has no length (HTTP/2)."""

    @abstractmethod
    def send(self, data: bytes) -> None: ...

    @abstractmethod
    def end(self) -> None: ...

    @abstractmethod
    def reset(self) -> None:
        """Ends the connection (HTTP/1.1) or the stream (HTTP/2) with a reset."""

    def reply(self, status: int, headers: Mapping[str, str], body: bytes, *, sized: bool = True) -> None:
        if self.method == "HEAD":
            self.begin(status, headers, len(body))
            self.end()
            return
        self.begin(status, headers, len(body) if sized else None)
        for at in range(0, len(body), PIECE):
            self.send(body[at : at + PIECE])
        self.end()


Answer = Callable[[Exchange], None]
Closed = Callable[[Exchange], None]


class FirstVersion(BaseHTTPRequestHandler):
    """HTTP/1.1 on one connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    answer: Answer
    last: _First | None = None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the standard library)
        pass

    def do_GET(self) -> None:
        self.last = _First(self)
        type(self).answer(self.last)

    do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 (http.server looks them up by name)


class _First(Exchange):
    version = "1.1"

    def __init__(self, handler: FirstVersion) -> None:
        self._handler, self._chunked = handler, False
        self.method, self.target = handler.command, handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.host = self.headers.get("host", "").partition(":")[0].lower()
        self.body = Body()
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(handler.rfile.readline().split(b";")[0], 16):
                self.body.add(handler.rfile.read(size))
                handler.rfile.readline()
            handler.rfile.readline()
            return
        left = int(self.headers.get("content-length", "0"))
        while left > 0 and (data := handler.rfile.read(min(left, PIECE))):
            self.body.add(data)
            left -= len(data)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {self._handler.responses.get(status, ('Other',))[0]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._handler.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def inform(self, status: int, headers: Mapping[str, str]) -> None:
        self._head(status, headers)

    def begin(self, status: int, headers: Mapping[str, str], size: int | None) -> None:
        self._chunked = size is None
        framing = {"Transfer-Encoding": "chunked", "Trailer": "X-Trailer"} if size is None else {"Content-Length": str(size)}
        self._head(status, {**headers, **framing})

    def send(self, data: bytes) -> None:
        if self._chunked:
            data = b"%x;ext=1\r\n%b\r\n" % (len(data), data)
        self._handler.wfile.write(data)

    def end(self) -> None:
        if self._chunked:
            self._handler.wfile.write(b"0\r\nX-Trailer: 1\r\n\r\n")

    def reset(self) -> None:
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._handler.close_connection = True


class SecondVersion:
    """HTTP/2 on one connection (RFC 9113). It answers one request after the other."""

    def __init__(self, connection: ssl.SSLSocket, answer: Answer) -> None:
        self.socket, self._answer = connection, answer
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        window = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW}
        self.http.local_settings = h2.settings.Settings(client=False, initial_values=window)
        self._arriving: dict[int, tuple[dict[str, str], Body]] = {}
        self._waiting: deque[int] = deque()
        self.last: Exchange | None = None

    def serve(self) -> None:
        """Returns when the client has left."""
        self.http.initiate_connection()
        self.http.increment_flow_control_window(WINDOW)
        self.flush()
        while self.receive():
            while self._waiting:
                stream = self._waiting.popleft()
                if stream not in self._arriving:
                    continue  # reset by the client
                self.last = _Second(self, stream, *self._arriving.pop(stream))
                with contextlib.suppress(h2.exceptions.ProtocolError):  # the client has reset the stream
                    self._answer(self.last)
                self.flush()

    def receive(self) -> bool:
        """Waits for frames. Returns False at the end of the connection."""
        data = self.socket.recv(1 << 18)
        for event in self.http.receive_data(data) if data else []:
            if isinstance(event, h2.events.RequestReceived):
                self._arriving[event.stream_id] = ({str(name): str(value) for name, value in event.headers}, Body())
            elif isinstance(event, h2.events.DataReceived):
                if event.stream_id in self._arriving:
                    self._arriving[event.stream_id][1].add(event.data)
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self._waiting.append(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self._arriving.pop(event.stream_id, None)
        self.flush()
        return bool(data)

    def flush(self) -> None:
        if data := self.http.data_to_send():
            self.socket.sendall(data)


class _Second(Exchange):
    version = "2"

    def __init__(self, connection: SecondVersion, stream: int, headers: dict[str, str], body: Body) -> None:
        self._connection, self._stream = connection, stream
        self.method, self.target = headers[":method"], headers[":path"]
        self.host = headers[":authority"].partition(":")[0].lower()
        self.headers, self.body = headers, body

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        fields = [(":status", str(status)), *((name.lower(), value) for name, value in headers.items())]
        self._connection.http.send_headers(self._stream, fields)
        self._connection.flush()

    def inform(self, status: int, headers: Mapping[str, str]) -> None:
        self._head(status, headers)

    def begin(self, status: int, headers: Mapping[str, str], size: int | None) -> None:
        self._head(status, {**headers, **({} if size is None else {"Content-Length": str(size)})})

    def send(self, data: bytes) -> None:
        http = self._connection.http
        while data:
            room = min(http.local_flow_control_window(self._stream), http.max_outbound_frame_size)
            if room <= 0:
                if not self._connection.receive():
                    raise ConnectionResetError
                continue
            http.send_data(self._stream, data[:room])
            self._connection.flush()
            data = data[room:]

    def end(self) -> None:
        self._connection.http.end_stream(self._stream)
        self._connection.flush()

    def reset(self) -> None:
        self._connection.http.reset_stream(self._stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self._connection.flush()
