"""A notification service for tests: a webhook with TLS, an ntfy server as far as senders see it, and a mail server.

    python notification_service.py FOLDER ADDRESS

FOLDER has the files `hook.test.pem` and `mail.test.pem` (certificate and key). It writes every message as a line into
`received.jsonl`, and reads from the file `mode` how to answer a web request: `ok`, an HTTP status, or `hold`, which answers
when the file has another word. It prints "serving" when it serves.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

WEB_PORT, MAIL_PORT = 9443, 9587
USER, PASSWORD = b"operator", b"mail-password-7f3a91"

lock = threading.Lock()


def folder() -> Path:
    return Path(sys.argv[1])


def record(**values: Any) -> None:
    line = json.dumps(values).encode() + b"\n"
    with lock, (folder() / "received.jsonl").open("ab", buffering=0) as file:
        file.write(line)


def context(name: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder() / f"{name}.pem")
    return made


def mode() -> str:
    return (folder() / "mode").read_text().strip()


class Web(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        record(
            service="web", path=self.path, body=body, credential=self.headers.get("Authorization") or "", mode=mode(),
            priority=self.headers.get("X-Priority") or "",
        )  # fmt: skip
        while (answer := mode()) == "hold":
            time.sleep(0.02)
        status = 200 if answer == "ok" else int(answer)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"https://hook.test:{WEB_PORT}/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_GET(self) -> None:
        record(service="web", path=self.path, method="GET")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the standard library)
        pass


class Mail:
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        record(service="mail", to=envelope.rcpt_tos, body=envelope.content.decode(), user=str(session.auth_data))
        return "250 OK"


def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    ok = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
    return AuthResult(success=ok, auth_data=USER.decode())


def main() -> None:
    address = sys.argv[2]
    web = ThreadingHTTPServer((address, WEB_PORT), Web)
    web.socket = context("hook.test").wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
    Controller(
        Mail(), hostname=address, port=MAIL_PORT, tls_context=context("mail.test"), require_starttls=True, auth_required=True,
        authenticator=login,
    ).start()  # fmt: skip
    os.write(1, b"serving\n")
    web.serve_forever()


if __name__ == "__main__":
    main()
