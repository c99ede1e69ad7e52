"""`codetainer up --net nat` of an ordinary user, on a simulated machine whose only network is a pretend internet."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backend.sandbox import namespaces
from backend.sandbox.namespaces import Mount, Namespace
from backend.sandbox.pretend import description, process
from backend.sandbox.pretend.certificates import Authority
from tests.netns import rootless
from tests.netns.rootless import User
from tests.netns.sandbox import CODETAINER, PATIENCE, eventually
from tests.netns.test_up_nat import INTERNET
from tests.netns.traces import adopt

pytestmark = pytest.mark.netns

CURL = "curl -sS -k -m 10 https://listed.test/page"
LISTENING = """
import socket, sys
with socket.create_server(("127.0.0.1", 8099)) as server:
    print("listens", flush=True)
    while True:
        peer, _ = server.accept()
        peer.sendall(b"the machine")
        peer.close()
"""


class Machine:
    """The user's machine. Everything on it runs as the user, except for `internet`."""

    def __init__(self, user: User, folder: Path) -> None:
        self.user, self.folder = user, folder

    @contextlib.contextmanager
    def up(self, *command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """Starts a sandbox, and waits for its command's first line."""
        (self.folder / "domains.conf").write_text("listed.test\n")
        rootless.give(self.folder)
        argv = self.user.called(
            *CODETAINER, "up", "--net", "nat", "--name", f"nat-{os.getpid()}", "--domains", str(self.folder / "domains.conf"),
            "--", *command,
        )  # fmt: skip
        with (self.folder / "err").open("w") as err:
            started = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True,
                env={**os.environ, "GH_PAT": "pretend", "ANTHROPIC_API_KEY": "pretend", **environment},
            )  # fmt: skip
        try:
            assert started.stdout is not None
            if (line := started.stdout.readline()) != "runs\n":
                raise AssertionError(line + self.errors())
            yield started
        finally:
            started.send_signal(signal.SIGTERM)
            started.communicate(timeout=PATIENCE)

    def errors(self) -> str:
        return (self.folder / "err").read_text()


# Runs pasta as if the options that close the machine's loopback were missing.
AS_BY_DEFAULT = """#!/bin/sh
for word; do
    shift
    case $word in -T | -U) word=-${word#-} ;; esac
    [ "$last" = -T ] || [ "$last" = -U ] && word=auto
    last=$word
    set -- "$@" "$word"
done
exec REAL "$@"
"""


@contextlib.contextmanager
def listening(here: Machine) -> Iterator[None]:
    """A program of the machine that answers on its 127.0.0.1, port 8099."""
    argv = here.user.called("/usr/bin/python3", "-I", "-c", LISTENING)
    program = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "listens\n"
        yield
    finally:
        program.kill()
        program.wait(timeout=PATIENCE)


@contextlib.contextmanager
def machine(folder: Path, resolvers: str, *, by_default: bool = False) -> Iterator[Machine]:
    """A machine with these lines in resolv.conf. `by_default`: its pasta does not close the machine's loopback."""
    internet = process.new()
    process.start(internet, description.parse(INTERNET, "test"), -1, Authority())

    def prepare(own: Path) -> None:
        (own / "resolv.conf").write_text(resolvers)
        (own / "resolv.conf").chmod(0o644)
        own.chmod(0o755)
        namespaces.bind(own / "resolv.conf", Path("/etc/resolv.conf").resolve())
        namespaces.mount("tmpfs", Path("/run"), "tmpfs")  # hides the real machine's /run, which may name its resolvers
        if by_default:
            program = Path("/usr/bin/pasta").resolve()
            shutil.copy(program, own / "pasta")
            (own / "wrapper").write_text(AS_BY_DEFAULT.replace("REAL", str(own / "pasta")))
            (own / "wrapper").chmod(0o755)
            namespaces.mount(str(own / "wrapper"), program, flags=Mount.BIND)

    try:
        with rootless.user(prepare, kinds=Namespace.MOUNT | Namespace.NET) as who:
            process.connect(internet.pid, who.pid)
            yield Machine(who, folder)
    finally:
        internet.end(0)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("machine"), "nameserver 127.0.0.53\nnameserver 203.0.113.53\n") as found:
        yield found


def helpers() -> list[psutil.Process]:
    """The programs that carry connections, among this process's descendants."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if each.name().startswith(("pasta", "passt", "slirp4netns")) and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def test_listed_names_are_reached_and_the_machines_loopback_is_not(here: Machine) -> None:
    connect = "for a in 127.0.0.1 203.0.113.253 203.0.113.254 169.254.1.1; do curl -sS -m 5 http://$a:8099 2>&1; done; echo end"
    with listening(here), here.up("sh", "-c", f"echo runs; {CURL}; {connect}; codetainer status --walls; echo end; cat") as up:
        assert up.stdout is not None
        assert up.stdout.readline() == "listed.test answers /page\n", here.errors()
        assert "the machine" not in "".join(iter(up.stdout.readline, "end\n"))
        walls = [line.split()[:2] for line in iter(up.stdout.readline, "end\n")]
        assert ["loopback", "holds"] in walls
    assert helpers() == []


def test_the_self_test_finds_what_pasta_opens_by_default(tmp_path: Path) -> None:
    """The sandbox stays closed. Without the protection, the agent could talk to the machine's 127.0.0.1."""
    with machine(tmp_path, "nameserver 203.0.113.53\n", by_default=True) as there, listening(there):
        stays_closed = pytest.raises(AssertionError, match="a program outside of the sandbox listens inside on")
        with stays_closed, there.up("sh", "-c", "echo runs; cat"):
            pass


def test_up_ends_with_the_program_that_carries_connections(here: Machine) -> None:
    with here.up("sh", "-c", "echo runs; cat") as up:
        (carrier,) = eventually("it runs", helpers)
        carrier.kill()
        assert up.wait(timeout=PATIENCE) == 1
    assert "cannot continue: pasta (exit code -9) has ended" in here.errors()


def test_kill_9_of_up_ends_it(here: Machine) -> None:
    adopt(1)
    try:
        with here.up("sh", "-c", "echo runs; cat") as up:
            assert len(helpers()) == 1
            up.kill()
            eventually("it has ended", lambda: helpers() == [])
    finally:
        adopt(0)
