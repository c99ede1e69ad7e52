"""What the probe says of walls that have gone: each is tried against what answers where it should not, or is silent."""

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
NOT_A_NAME, NOTHING_WRONG = 3, 0  # RFC 1035, section 4.1.1: RCODE


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers may take its time on a busy machine."""
    monkeypatch.setattr(probe, "SECONDS", 30.0)


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """To be called before something that is never answered is tried."""
    return lambda: monkeypatch.setattr(probe, "SECONDS", 0.2)


@contextlib.contextmanager
def datagrams(answer: Callable[[bytes], bytes] | None) -> Iterator[int]:
    """The port of somebody who answers one datagram, or none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HERE, 0))
        sock.settimeout(30)

        def once() -> None:
            asked, asker = sock.recvfrom(4096)
            if answer is not None:
                sock.sendto(answer(asked), asker)

        thread = threading.Thread(target=once)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            thread.join()


@contextlib.contextmanager
def listening(*, full: bool = False) -> Iterator[int]:
    """The port of somebody who accepts connections, or whose queue of them is full: SYNs go unanswered then (listen(2))."""
    with contextlib.ExitStack() as opened:
        sock = opened.enter_context(socket.socket())
        sock.bind((HERE, 0))
        sock.listen(0 if full else 8)
        if full:
            opened.enter_context(socket.create_connection(sock.getsockname()))
        yield sock.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that is taken, and that nobody listens on: it is refused as long as the test runs."""
    with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
        stream.bind((HERE, 0))
        yield stream.getsockname()[1]


def rcode(number: int) -> Callable[[bytes], bytes]:
    return lambda asked: asked[:2] + bytes((0x81, 0x80 | number)) + asked[4:]


def test_an_unlisted_name_has_to_be_said_not_to_exist(silence: Callable[[], None]) -> None:
    with datagrams(rcode(NOT_A_NAME)) as port:
        assert probe.unlisted_name(HERE, port, "x.example") == ("", "")
    with datagrams(rcode(NOTHING_WRONG)) as port:
        silent, wrong = probe.unlisted_name(HERE, port, "x.example")
        assert (silent, "rcode 0" in wrong) == ("", True)
    silence()
    with datagrams(None) as port:
        silent, wrong = probe.unlisted_name(HERE, port, "x.example")
        assert ("does not answer" in silent, wrong) == (True, "")


def test_the_question_is_for_an_address_of_that_name() -> None:
    asked: list[bytes] = []

    def keep(message: bytes) -> bytes:
        asked.append(message)
        return rcode(NOT_A_NAME)(message)

    with datagrams(keep) as port:
        probe.unlisted_name(HERE, port, "ab.example")
    assert asked[0][2:] == b"\x01\x00\0\x01\0\0\0\0\0\0" + b"\x02ab\x07example\0" + b"\0\x01\0\x01"


@pytest.mark.parametrize("tries", [probe.outside_address, lambda _, port: probe.sshd(port)], ids=["outside", "sshd"])
def test_a_connection_has_to_be_refused(tries: Callable[[str, int], str], closed: int, silence: Callable[[], None]) -> None:
    assert tries(HERE, closed) == ""
    with listening() as port:
        assert "answer" in tries(HERE, port)
    silence()
    with listening(full=True) as port:
        assert "it went unanswered" in tries(HERE, port)


def test_a_datagram_to_the_upstream_has_to_be_refused(silence: Callable[[], None]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HERE, 0))
        sock.connect((HERE, 9))  # takes from its discard service alone (RFC 863): what others send is refused
        assert probe.upstream_datagram(HERE, sock.getsockname()[1]) == ""
    with datagrams(rcode(NOTHING_WRONG)) as port:
        assert "was answered" in probe.upstream_datagram(HERE, port)
    silence()
    with datagrams(None) as port:
        assert "it went unanswered" in probe.upstream_datagram(HERE, port)


@contextlib.contextmanager
def connected(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of somebody who does this with one connection."""
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


def test_another_site_has_to_be_cut_whatever_certificate_it_has(
    tmp_path: Path, closed: int, silence: Callable[[], None]
) -> None:
    """A gate that refuses closes; whoever speaks TLS, if only to say no, was reached."""
    made = certificates.make({"names": ["other.example"], "seconds": 86400.0, "skew": 60.0})
    (tmp_path / "leaf").write_text(made["leaves"]["other.example"])
    names: list[str | None] = []
    answers, objects = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    answers.load_cert_chain(tmp_path / "leaf")
    answers.sni_callback = lambda _, name, __: names.append(name)

    assert probe.another_site(HERE, closed, "x.example") == ""
    with connected(lambda sock: sock.recv(10_000)) as port:
        assert probe.another_site(HERE, port, "x.example") == ""
    with connected(lambda sock: answers.wrap_socket(sock, server_side=True).close()) as port:
        assert "was carried" in probe.another_site(HERE, port, "x.example")
    with connected(lambda sock: objects.wrap_socket(sock, server_side=True)) as port:
        assert "was answered" in probe.another_site(HERE, port, "x.example")
    silence()
    with listening() as port:  # nobody accepts
        assert probe.another_site(HERE, port, "x.example") == ""
    assert names == ["x.example"]


def test_one_listed_host_that_answers_is_enough(closed: int) -> None:
    with listening() as port:
        assert probe.listed_host([(HERE, closed), (HERE, port)]) == ""
    assert f"{HERE}:{closed} does not answer" in probe.listed_host([(HERE, closed)])
    assert "no listed host" in probe.listed_host([])


def test_the_platforms_folder_is_not_to_be_looked_into(tmp_path: Path) -> None:
    assert probe.platforms_folder(str(tmp_path / "none")) == ""
    assert str(tmp_path) in probe.platforms_folder(str(tmp_path))
