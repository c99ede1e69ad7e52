"""A host for the table of clients. It answers as real hosts do, records what arrives, and speaks HTTP/1.1 and HTTP/2.

Runs in the network namespace of the pretend internet, with certificates of its authority:
    python -m tests.netns.clients.host PORT CERTIFICATES RECORD REPOSITORIES

A request names its cell in the table (client and column) in its path, or in the header X-Table, or as described at `cell`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from backend.sandbox.pretend import github, lfs
from tests.netns.clients import payloads
from tests.netns.clients.exchange import Exchange, FirstVersion, SecondVersion
from tests.netns.clients.payloads import LARGE, LARGE_TEXT

REPOSITORY = "example/demo"
OLD = "one.test"  # speaks only HTTP/1.1; every other name also HTTP/2
RETRY_AFTER = 1  # seconds
COOKIE = "session=somebodys; Path=/; Secure; HttpOnly; SameSite=Lax"
TAGGED = re.compile(r"/table/(?P<client>[\w.-]+)/(?P<column>\w+)(?P<rest>/.*)?\Z")
GIT = re.compile(r"/table-(?P<column>\w+)/(?P<client>[\w-]+?)(\.git)?(?P<rest>/(info/refs|git-upload-pack))\Z")
PUSH = re.compile(rf"/{REPOSITORY}(\.git)?(?P<rest>/(info/refs|git-upload-pack|git-receive-pack))\Z")
MAY_BE_LARGE = ("download", "reset", "broken")


class Record:
    """Lines of JSON, and the number of requests in each cell."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()
        self._attempts: Counter[tuple[str, str, str]] = Counter()

    def attempt(self, cell: tuple[str, str, str]) -> int:
        with self._lock:
            self._attempts[cell] += 1
            return self._attempts[cell]

    def add(self, **values: object) -> None:
        with self._lock:
            self._file.write(json.dumps(values) + "\n")


class Site:
    def __init__(self, record: Record, repositories: Path) -> None:
        self.record, self.repositories, self.lfs = record, repositories, lfs.Store()
        self.published = False  # cargo's project: it must not be in the index before
        for column in COLUMNS_OF_LFS:
            self.lfs.serve("PUT", f"/media/{lfs_oid(column)}", lfs_object(column))

    def answer(self, x: Exchange) -> None:
        client, column = self.cell(x)
        cell = client, column, x.host
        number = self.record.attempt(cell) if x.method != "HEAD" else 0
        self.record.add(
            kind="request", client=client, column=column, host=x.host, version=x.version, method=x.method, target=x.target,
            number=number, time=time.monotonic(), cookie="cookie" in x.headers, bytes=len(x.body.data), sha256=x.body.digest,
            credential=x.headers.get("authorization") or x.headers.get("x-api-key") or "",
        )  # fmt: skip
        if column == "redirect" and "there=1" not in x.query and "/table-there/" not in x.path:
            target = f"{x.target}{'&' if x.query else '?'}there=1"
            if GIT.match(x.path):
                target = x.target.replace("/table-redirect/", "/table-there/")
            status = 302 if x.method in ("GET", "HEAD") else 307
            x.reply(status, {"Location": f"https://{x.host}{target}", "Set-Cookie": COOKIE}, b"moved\n")
        elif column == "login" and not (x.headers.get("authorization") or x.headers.get("x-api-key")):
            error = {
                "type": "error",
                "message": "Requires authentication",
                "error": {"type": "authentication_error", "message": "x"},
            }
            headers = {"WWW-Authenticate": 'Basic realm="table"', "Content-Type": "application/json"}
            x.reply(401, headers, json.dumps(error).encode())
        elif column == "limit" and number == 1:
            error = {"type": "error", "message": "slow down", "error": {"type": "rate_limit_error", "message": "slow down"}}
            headers = {"Retry-After": str(RETRY_AFTER), "Content-Type": "application/json"}
            x.reply(429, headers, json.dumps(error).encode())
        else:
            if column == "early":
                x.inform(103, {"Link": "</style.css>; rel=preload; as=style"})
                time.sleep(0.3)  # findings/haproxy-drops-the-body-after-early-hints.sh
            self._send(x, column, number, *self._body(x, column))

    def _send(self, x: Exchange, column: str, number: int, status: int, kind: str, body: bytes) -> None:
        headers = {"Content-Type": kind, "ETag": '"1"', "Accept-Ranges": "bytes"}
        if column in ("reset", "broken") and number == 1 and len(body) > 1:
            x.begin(status, headers, len(body) if column == "reset" else None)
            x.send(body[: len(body) // 2])
            x.reset()
            return
        if (part := re.fullmatch(r"bytes=(\d+)-(\d*)", x.headers.get("range", ""))) and 0 < int(part[1]) < len(body):
            end = int(part[2] or len(body) - 1) + 1
            headers["Content-Range"] = f"bytes {part[1]}-{end - 1}/{len(body)}"
            status, body = 206, body[int(part[1]) : end]
        x.reply(status, headers, body, sized=column not in ("stream", "chunked", "broken"))

    def cell(self, x: Exchange) -> tuple[str, str]:
        """The client and the column that a request belongs to."""
        if tag := x.headers.get("x-table"):
            client, _, column = tag.partition("/")
            return client, column
        if match := TAGGED.match(x.path):
            # A package manager also asks for indexes, which are answered without ado.
            quiet = (match["rest"] or "").startswith("/index/")
            return match["client"], "index" if quiet else match["column"]
        if match := GIT.match(x.path):
            first = match["rest"] == "/info/refs"
            column = match["column"].replace("there", "redirect")
            return match["client"], column if first == (column not in GIT_PACK) else "index"
        if PUSH.match(x.path):
            return "git", "upload"
        if match := re.search(r"(?:^|&)name=([\w.-]+)--(\w+)", x.query):
            return match[1], match[2]
        if "/info/lfs/" in x.path or x.path.startswith("/media/"):
            return "git-lfs", self._lfs_column(x)
        return "?", "index"

    def _lfs_column(self, x: Exchange) -> str:
        text = x.path + x.body.data[:4096].decode(errors="replace")
        column = next((column for column in COLUMNS_OF_LFS if lfs_oid(column) in text), "upload")
        at_store = x.path.startswith("/media/")
        return column if at_store == (column in ("download", "reset", "upload")) else "index"

    def _body(self, x: Exchange, column: str) -> tuple[int, str, bytes]:
        size = LARGE if column in MAY_BE_LARGE else 10
        if x.path == "/v1/messages" or x.path == "/v1/messages/count_tokens":
            return self._message(x, column)
        if match := GIT.match(x.path):
            return self._git(
                x, f"/{'large' if column in MAY_BE_LARGE or match['column'] in MAY_BE_LARGE else 'small'}{match['rest']}"
            )
        if match := PUSH.match(x.path):
            return self._git(x, f"/small{match['rest']}")
        if x.host in (lfs.STORE_HOST, lfs.UPLOAD_HOST) and (stored := self.lfs.serve(x.method, x.path, bytes(x.body.data))):
            return stored[0], "application/octet-stream", stored[1]
        if "/info/lfs/" in x.path and (answer := self.lfs.answer(x.path, bytes(x.body.data))):
            return answer[0], lfs.TYPE, answer[1]
        if x.host in (github.HOST, github.UPLOADS_HOST) and (found := github.answer(x.path, REPOSITORY, bytes(x.body.data))):
            return found[0], "application/json", found[1]
        if x.path.endswith("/index/pr/oj/project") and not self.published:
            return 404, "text/plain", b""
        self.published = self.published or x.path.endswith("/api/v1/crates/new")
        return (200, *self._package(x, size))

    def _package(self, x: Exchange, size: int) -> tuple[str, bytes]:
        if x.path.endswith(".whl"):
            return "application/octet-stream", payloads.python_package(size)
        if x.path.endswith(".tgz"):
            return "application/octet-stream", payloads.npm_package(size)
        if x.path.endswith("/config.json") and (match := TAGGED.match(x.path)):
            base = f"https://{x.host}/table/{match['client']}/{match['column']}"
            return "application/json", json.dumps({"dl": f"{base}/{{crate}}.crate", "api": base}).encode()
        if x.path.endswith("/index/th/in/thing") and (match := TAGGED.match(x.path)):
            return "text/plain", payloads.crate_index("thing", LARGE if match["column"] in MAY_BE_LARGE else 10)
        if x.path.endswith("/index/pr/oj/project"):  # published by cargo
            return "text/plain", payloads.crate_index("project", 10)
        if x.path.endswith(".crate"):
            return "application/octet-stream", payloads.crate(size)
        if x.method != "GET":
            return (
                "application/json",
                b'{"ok": true, "warnings": {"invalid_categories": [], "invalid_badges": [], "other": []}}',
            )
        return "application/octet-stream", payloads.noise(size)

    def _message(self, x: Exchange, column: str) -> tuple[int, str, bytes]:
        if x.path.endswith("count_tokens"):
            return 200, "application/json", b'{"input_tokens": 10}'
        text = "Done. " * (LARGE_TEXT // 6) if column in MAY_BE_LARGE else "Done."
        if json.loads(x.content).get("stream"):
            return 200, "text/event-stream", payloads.events(text)
        return 200, "application/json", json.dumps(payloads.message(text)).encode()

    def _git(self, x: Exchange, path: str) -> tuple[int, str, bytes]:
        """Runs git http-backend(1), a CGI program."""
        done = subprocess.run(
            ["git", "http-backend"], input=bytes(x.body.data), capture_output=True, check=True,
            env={
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.repositories), "GIT_HTTP_EXPORT_ALL": "1", "HOME": "/",
                "REQUEST_METHOD": x.method, "PATH_INFO": path, "QUERY_STRING": x.query, "REMOTE_USER": "agent",
                "CONTENT_TYPE": x.headers.get("content-type", ""), "CONTENT_LENGTH": str(len(x.body.data)),
                "HTTP_CONTENT_ENCODING": x.headers.get("content-encoding", ""),
                "GIT_PROTOCOL": x.headers.get("git-protocol", ""),
                "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "http.receivepack", "GIT_CONFIG_VALUE_0": "true",
                "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*",
            },
        )  # fmt: skip
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return int(headers.get("Status", "200").split()[0]), headers["Content-Type"], body


# git asks for the refs, then for the pack. These columns are about the pack, the others about the refs.
GIT_PACK = ("download", "reset", "broken", "chunked")
COLUMNS_OF_LFS = ("redirect", "login", "early", "length", "stream", "chunked", "limit", "download", "reset")


@functools.cache
def lfs_object(column: str) -> bytes:
    """The object for git-lfs in a column's test: its name tells the column, since all have the same path."""
    return column.encode() + payloads.noise(LARGE if column in MAY_BE_LARGE else 10)


@functools.cache
def lfs_oid(column: str) -> str:
    return hashlib.sha256(lfs_object(column)).hexdigest()


class Server(socketserver.ThreadingTCPServer):
    """Terminates TLS with the certificate of the requested name."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, certificates: Path, site: Site) -> None:
        self._contexts = {file.stem: self._context(file) for file in certificates.glob("*.pem")}
        self._handler = type("Handler", (FirstVersion,), {"answer": staticmethod(site.answer)})
        self._site = site
        self._default = next(iter(self._contexts.values()))
        self._default.sni_callback = self._choose
        super().__init__(("0.0.0.0", port), socketserver.BaseRequestHandler)

    def _context(self, file: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["http/1.1"] if file.stem == OLD else ["h2", "http/1.1"])
        return context

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._contexts.get(name or "", self._default)

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        assert isinstance(request, socket.socket)
        last = None
        request.settimeout(120)
        with self._default.wrap_socket(request, server_side=True) as connection:
            if connection.selected_alpn_protocol() == "h2":
                second = SecondVersion(connection, self._site.answer)
                try:
                    second.serve()
                finally:
                    last = second.last
                    self._closed(last)
            else:
                first: Any = object.__new__(self._handler)  # without handling the connection yet
                try:
                    first.__init__(connection, client_address, self)
                finally:
                    self._closed(first.last)

    def _closed(self, last: Exchange | None) -> None:
        if last is not None:
            client, column = self._site.cell(last)
            self._site.record.add(kind="closed", client=client, column=column, host=last.host)

    def shutdown_request(self, request: object) -> None:
        pass  # closed by finish_request, without a FIN where a reset is due

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main() -> None:
    port, certificates, record, repositories = sys.argv[1:]
    site = Site(Record(Path(record)), Path(repositories))
    server = Server(int(port), Path(certificates), site)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
