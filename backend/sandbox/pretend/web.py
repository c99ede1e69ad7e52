"""The web servers of the pretend internet: a git host, the stand-in for the API, and a page for every other name."""

from __future__ import annotations

import json
import os
import shutil
import socket
import socketserver
import ssl
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from backend import system
from backend.sandbox.pretend import api, folders, github, lfs, packages, releases
from backend.sandbox.pretend.certificates import Authority
from backend.sandbox.pretend.description import Description, Listener, Speaks
from backend.sandbox.pretend.record import Record
from backend.sandbox.pretend.repositories import LFS_OBJECT, Awkward
from backend.system import SystemFailure

IDLE_SECONDS = 30.0
MAX_BODY = 256 << 20
MAX_ZEROS = 1 << 30
EVERY_ADDRESS = "0.0.0.0"  # in a namespace whose only link is the sandbox's
GIT_SECONDS = 60.0
COPY_BYTES = 1 << 20
GIT_PATHS = ("/info/refs", "/git-upload-pack", "/git-receive-pack")

CREDENTIAL_HEADERS = ("Authorization", "x-api-key", "private-token")


class Site:
    """The state that all handlers share."""

    def __init__(self, description: Description, record: Record, repositories: Path) -> None:
        self.description, self.record, self.repositories = description, record, repositories
        self.conversation = api.Conversation()
        self.folders = description.folders
        self.lfs = lfs.Store(LFS_OBJECT)
        self.awkward = Awkward(repositories, description.git_repository.partition("/")[0])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True  # the head and the body are written apart, so the body would wait for an acknowledgement
    site: Site
    cookies: tuple[str, ...] = ()  # set by the answer to this request

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the standard library)
        pass  # the record has more details

    def do_GET(self) -> None:
        self._serve()

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Serves every other method as well, so that the record shows each request. http.server looks up `do_METHOD`."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        host = (self.headers.get("Host") or "").partition(":")[0].lower()
        body = self._body()
        if body is None:
            self.site.record.add("cut", host=host, method=self.command, path=self.path.partition("?")[0])
            self.close_connection = True
            return
        credential = next((value for header in CREDENTIAL_HEADERS if (value := self.headers.get(header))), "")
        path, _, query = self.path.partition("?")
        description = self.site.description
        self.cookies = self._cookies(host)
        summary = api.summary(body) if host == description.api_host else {}
        self.site.record.add(
            "http", host=host, method=self.command, path=path, query=query, credential=credential,
            peer=self.client_address[0], address=self.connection.getsockname()[0], bytes=len(body),
            type=self.headers.get("Content-Type") or "",
            headers=" ".join(sorted(name.lower() for name in self.headers)), **summary,
        )  # fmt: skip
        if location := github.renamed(host, description.git_host, description.git_repository, self.path):
            moved = {"message": "Moved Permanently", "url": location}
            self.reply(
                301, json.dumps(moved).encode(), {"Location": location, "Content-Type": "application/json; charset=utf-8"}
            )
        elif host == description.api_host:
            api.serve(self, self.site.conversation, path, body)
        elif host == github.HOST and github.is_silent(body):
            self.rfile.read(1)  # until the client hangs up
            self.close_connection = True
        elif host == description.git_host and (batch := self.site.lfs.answer(path, body)) is not None:
            self.reply(*batch, {"Content-Type": lfs.TYPE})
        elif (
            host in (lfs.STORE_HOST, lfs.UPLOAD_HOST) and (stored := self.site.lfs.serve(self.command, path, body)) is not None
        ):
            self.reply(*stored, {"Content-Type": "application/octet-stream"})
        elif host == description.git_host and path.endswith(GIT_PATHS):
            if "git-receive-pack" in path + query and not credential:
                # As on the real host, clones need no credential but pushes do. git sends it only after a 401.
                self.reply(401, b"a push needs a credential\n", {"WWW-Authenticate": 'Basic realm="git"'})
                return
            self._git(path, query, body)
        elif host == description.git_host and (location := releases.location(host, description.git_repository, path)):
            self.reply(302, b"", {"Location": location})
        elif host == releases.ASSETS_HOST and (file := releases.asset(path)) is not None:
            self.reply(200, file, {"Content-Type": "application/octet-stream"})
        elif host == github.HOST and not self.headers.get("User-Agent"):
            self.reply(403, b"Request forbidden by administrative rules.\n", {"Content-Type": "text/html"})
        elif host == github.HOST and (commits := github.compared(path, description.git_repository)):
            self.reply(200, github.comparison(ahead=self._descends(*commits)), {"Content-Type": "application/json"})
        elif (
            host in (github.HOST, github.UPLOADS_HOST)
            and (answer := github.answer(path, description.git_repository, body)) is not None
        ):
            created = {"Location": f"https://{host}{path}/1"} if self.command == "POST" and github.creates(path) else {}
            self.reply(*answer, {"Content-Type": "application/json; charset=utf-8", **created})
        elif host in self.site.folders:
            found = folders.file(self.site.folders[host], path)
            content, kind = found or (b"not found\n", "text/plain")
            self.reply(200 if found else 404, content, {"Content-Type": kind})
        elif (packaged := packages.answer(host, self.command, path)) is not None:
            self.reply(*packaged)
        elif path.startswith("/bytes/") and path[7:].isdigit():
            self._zeros(min(int(path[7:]), MAX_ZEROS))
        else:
            self.reply(200, f"{host or 'a site without a name'} answers {path}\n".encode(), {"Content-Type": "text/plain"})

    def _cookies(self, host: str) -> tuple[str, ...]:
        """The Set-Cookie values that the real hosts send in every answer to a client without a session."""
        git_host, lasting = self.site.description.git_host, "Path=/; Max-Age=31536000; HttpOnly; Secure"
        if git_host and host in (git_host, github.HOST):
            own = "_gh_sess=pretend; Path=/; HttpOnly; Secure; SameSite=Lax"
            return own, f"_octo=GH1.1.1.1; Domain={git_host}; {lasting}", f"logged_in=no; Domain={git_host}; {lasting}"
        if host and host == self.site.description.api_host:
            return (f"_cfuvid=pretend; Domain={host}; {lasting}",)
        return ()

    def end_headers(self) -> None:
        for cookie in self.cookies:
            self.send_header("Set-Cookie", cookie)
        super().end_headers()

    def reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _zeros(self, count: int) -> None:
        """Sends a large answer, for measurements."""
        self.send_response(200)
        self.send_header("Content-Length", str(count))
        self.end_headers()
        piece = bytes(1 << 20)
        while count > 0:
            self.wfile.write(piece[:count])
            count -= len(piece)

    def _body(self) -> bytes | None:
        """The request's body; None if the client hung up before its end."""
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            length = min(int(self.headers.get("Content-Length") or 0), MAX_BODY)
            body = self.rfile.read(length)
            return body if len(body) == length else None
        parts: list[bytes] = []
        while line := self.rfile.readline().split(b";")[0].strip():
            size = int(line, 16)
            parts.append(self.rfile.read(size))
            if not self.rfile.readline():
                return None
            if not size:
                return b"".join(parts)
        return None

    def _descends(self, old: str, new: str) -> bool:
        """True if one commit of the repository descends from another, which has the older id."""
        folder = self.site.repositories / self.site.description.git_repository
        try:
            system.run([system.GIT, "-C", str(folder), "merge-base", "--is-ancestor", old, new])
        except SystemFailure:
            return False
        return True

    def _git(self, path: str, query: str, body: bytes) -> None:
        """Answers a git request with git http-backend(1), a CGI program. Its output may be too large for this process."""
        environment = {
            "PATH": system.SYSTEM_PATH, "GIT_PROJECT_ROOT": str(self.site.repositories), "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_USER": "agent",
            "REMOTE_ADDR": self.client_address[0], "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "", "GIT_CONFIG_COUNT": "3", "HOME": "/nonexistent",
            "GIT_CONFIG_KEY_0": "http.receivepack", "GIT_CONFIG_VALUE_0": "true",
            "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*",
            "GIT_CONFIG_KEY_2": "receive.autogc", "GIT_CONFIG_VALUE_2": "false",  # gc would continue in the background
        }  # fmt: skip
        with os.fdopen(os.memfd_create("output"), "w+b") as output:
            try:
                self.site.awkward.prepare(path)
                done = system.ask(
                    [system.GIT, "http-backend"], environment=environment, cwd="/", input=body, timeout=GIT_SECONDS, most=0,
                    stdout=output.fileno(),
                )  # fmt: skip
            except SystemFailure as error:
                self.reply(500, f"{error}\n".encode(), {"Content-Type": "text/plain"})
                return
            if done.code != 0:
                self.reply(500, f"{done.err}\n".encode(), {"Content-Type": "text/plain"})
                return
            size = output.seek(0, os.SEEK_END)
            output.seek(0)
            headers: dict[str, str] = {}
            while line := output.readline().decode().strip():
                name, _, value = line.partition(": ")
                headers[name] = value
            status = int(headers.pop("Status", "200 OK").split()[0])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(size - output.tell()))
            self.end_headers()
            shutil.copyfileobj(output, self.wfile, COPY_BYTES)


class Server(ThreadingHTTPServer):
    """An HTTP server on all addresses of the namespace. With an authority, it uses TLS with a certificate for the SNI name."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, port: int, site: Site, authority: Authority | None, folder: Path) -> None:
        super().__init__((EVERY_ADDRESS, port), type("SiteHandler", (Handler,), {"site": site}))
        self._authority, self._folder = authority, folder
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._default = self._context("unnamed.example") if authority else None
        if self._default is not None:
            self._default.sni_callback = self._choose

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        # As servers on the internet do: else an answer waits for the acknowledgement of TLS tickets, up to 40 ms.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._default is not None:
            connection.settimeout(IDLE_SECONDS)
            connection = self._default.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the client hung up or does not trust our certificate; tests do both on purpose

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        if name:
            connection.context = self._context(name)

    def _context(self, name: str) -> ssl.SSLContext:
        assert self._authority is not None
        return self._contexts.get(name) or self._contexts.setdefault(name, self._authority.context(name, self._folder))


class Echo(socketserver.ThreadingTCPServer):
    """A TCP server that returns all data that it receives."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, port: int, site: Site) -> None:
        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                site.record.add("connection", port=port, peer=self.client_address[0], address=self.request.getsockname()[0])
                self.request.settimeout(IDLE_SECONDS)
                while data := self.request.recv(65536):
                    self.request.sendall(data)

        super().__init__((EVERY_ADDRESS, port), Connection)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the client hung up


def listen(listener: Listener, site: Site, authority: Authority, folder: Path) -> socketserver.BaseServer:
    """Creates a server that is bound to its port. Raises OSError."""
    if listener.speaks is Speaks.ECHO:
        return Echo(listener.port, site)
    return Server(listener.port, site, authority if listener.speaks is Speaks.HTTPS else None, folder)
