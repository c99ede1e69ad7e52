"""The self-test's probes find missing protections: each runs against a peer that wrongly answers, or does not answer."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.selftest import probe
from backend.services import certificates

HERE = "127.0.0.1"
NXDOMAIN, NOERROR = 3, 0  # RFC 1035, section 4.1.1: RCODE


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows peers to answer slowly on a busy machine."""
    monkeypatch.setattr(probe, "SECONDS", 30.0)


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that shortens the timeout, for peers that never answer."""
    return lambda: monkeypatch.setattr(probe, "SECONDS", 0.2)


@contextlib.contextmanager
def datagrams(answer: Callable[[bytes], bytes] | None) -> Iterator[int]:
    """Yields the port of a peer that receives one datagram and, unless `answer` is None, answers it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HERE, 0))
        sock.settimeout(30)

        def once() -> None:
            query, sender = sock.recvfrom(4096)
            if answer is not None:
                sock.sendto(answer(query), sender)

        thread = threading.Thread(target=once)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            thread.join()


@contextlib.contextmanager
def listening(*, full: bool = False) -> Iterator[int]:
    """Yields the port of a peer that accepts connections. If its queue is `full`, SYNs get no answer (listen(2))."""
    with contextlib.ExitStack() as opened:
        sock = opened.enter_context(socket.socket())
        sock.bind((HERE, 0))
        sock.listen(0 if full else 8)
        if full:
            opened.enter_context(socket.create_connection(sock.getsockname()))
        yield sock.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """A bound port without a listener: connections are refused, and no other process can take it."""
    with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
        stream.bind((HERE, 0))
        yield stream.getsockname()[1]


def rcode(number: int) -> Callable[[bytes], bytes]:
    return lambda query: query[:2] + bytes((0x81, 0x80 | number)) + query[4:]


def test_an_unlisted_name_must_get_nxdomain(short_timeout: Callable[[], None]) -> None:
    with datagrams(rcode(NXDOMAIN)) as port:
        assert probe.unlisted_name(HERE, port, "x.example") == ("", "")
    with datagrams(rcode(NOERROR)) as port:
        silent, wrong = probe.unlisted_name(HERE, port, "x.example")
        assert (silent, "rcode 0" in wrong) == ("", True)
    short_timeout()
    with datagrams(None) as port:
        silent, wrong = probe.unlisted_name(HERE, port, "x.example")
        assert ("does not answer" in silent, wrong) == (True, "")


def test_the_query_is_for_an_address_of_the_name() -> None:
    queries: list[bytes] = []

    def keep(message: bytes) -> bytes:
        queries.append(message)
        return rcode(NXDOMAIN)(message)

    with datagrams(keep) as port:
        probe.unlisted_name(HERE, port, "ab.example")
    assert queries[0][2:] == b"\x01\x00\0\x01\0\0\0\0\0\0" + b"\x02ab\x07example\0" + b"\0\x01\0\x01"


@pytest.mark.parametrize("tries", [probe.outside_address, lambda _, port: probe.sshd(port)], ids=["outside", "sshd"])
def test_a_connection_must_be_refused(tries: Callable[[str, int], str], closed: int, short_timeout: Callable[[], None]) -> None:
    assert tries(HERE, closed) == ""
    with listening() as port:
        assert "was answered" in tries(HERE, port)
    short_timeout()
    with listening(full=True) as port:
        assert "it timed out" in tries(HERE, port)


def test_a_datagram_to_the_upstream_must_be_refused(short_timeout: Callable[[], None]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HERE, 0))
        sock.connect((HERE, 9))  # a connected socket accepts datagrams only from its peer, so others are refused
        assert probe.upstream_datagram(HERE, sock.getsockname()[1]) == ""
    with datagrams(rcode(NOERROR)) as port:
        assert "was answered" in probe.upstream_datagram(HERE, port)
    short_timeout()
    with datagrams(None) as port:
        assert "it timed out" in probe.upstream_datagram(HERE, port)


@contextlib.contextmanager
def connected(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """Yields the port of a peer that calls `serve` with one connection."""
    with socket.create_server((HERE, 0)) as sock:
        sock.settimeout(30)

        def once() -> None:
            accepted, _ = sock.accept()
            with accepted, contextlib.suppress(OSError):
                serve(accepted)

        thread = threading.Thread(target=once)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            thread.join()


def test_a_connection_to_another_site_must_be_closed(tmp_path: Path, closed: int, short_timeout: Callable[[], None]) -> None:
    """The gate closes without an answer. Any TLS message, even an alert, comes from a host that was reached."""
    made = certificates.make({"names": ["other.example"], "seconds": 86400.0, "skew": 60.0})
    (tmp_path / "leaf").write_text(made["leaves"]["other.example"])
    names: list[str | None] = []
    answers, refuses = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    answers.load_cert_chain(tmp_path / "leaf")
    answers.sni_callback = lambda _, name, __: names.append(name)

    assert probe.another_site(HERE, closed, "x.example") == ""
    with connected(lambda sock: sock.recv(10_000)) as port:
        assert probe.another_site(HERE, port, "x.example") == ""
    with connected(lambda sock: answers.wrap_socket(sock, server_side=True).close()) as port:
        assert "was carried" in probe.another_site(HERE, port, "x.example")
    with connected(lambda sock: refuses.wrap_socket(sock, server_side=True)) as port:
        assert "was answered" in probe.another_site(HERE, port, "x.example")
    short_timeout()
    with listening() as port:  # the peer never accepts
        assert probe.another_site(HERE, port, "x.example") == ""
    assert names == ["x.example"]


def test_one_listed_host_that_answers_is_enough(closed: int) -> None:
    with listening() as port:
        assert probe.listed_host([(HERE, closed), (HERE, port)]) == ""
    assert f"{HERE}:{closed} does not answer" in probe.listed_host([(HERE, closed)])
    assert "no listed host" in probe.listed_host([])


def test_the_platforms_folder_must_not_be_listable(tmp_path: Path) -> None:
    assert probe.platforms_folder(str(tmp_path / "none")) == ""
    assert str(tmp_path) in probe.platforms_folder(str(tmp_path))
