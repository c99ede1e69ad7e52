"""Requests over a real socket to servers that answer, hang up, send garbage or do not exist."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.contract.control import Allow, Reply, decode_request, encode_reply
from codetainer_tui.ask import ask, supervised

REQUEST = Allow("a.example", seconds=3600.0)


@contextmanager
def server(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Answers one request with these bytes, then hangs up."""
    heard: list[bytes] = []
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen(1)

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            heard.append(connection.recv(4096))
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        thread.join()
        listening.close()


def test_a_request_and_its_reply(tmp_path: Path) -> None:
    reply = Reply(True, "a.example is open", data={"until": 7})
    with server(tmp_path / "s", encode_reply(reply).encode() + b"\n") as heard:
        assert ask(tmp_path / "s", REQUEST) == reply
    assert decode_request(heard[0].decode()) == REQUEST


def test_a_server_that_hangs_up(tmp_path: Path) -> None:
    with server(tmp_path / "s", b'{"ok":tr'):
        reply = ask(tmp_path / "s", REQUEST)
    assert not reply.ok
    assert "without a reply" in reply.text


def test_a_server_that_sends_garbage(tmp_path: Path) -> None:
    with server(tmp_path / "s", b"hello\n"):
        assert "cannot read" in ask(tmp_path / "s", REQUEST).text


def test_no_server(tmp_path: Path) -> None:
    assert ask(tmp_path / "s", REQUEST).text == "no sandbox is running here"
    assert not supervised(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        bound.bind(str(tmp_path / "s"))  # as a killed supervisor leaves it
    assert ask(tmp_path / "s", REQUEST).text == "no sandbox is running here"
    assert not supervised(tmp_path / "s")
