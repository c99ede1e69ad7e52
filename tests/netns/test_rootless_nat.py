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

from backend import system
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
PORT = 8099
OTHER = "198.51.100.7"  # an address of the machine's on another network
ABSTRACT = "codetainer-test-machine"
LISTENING = f"""
import select, socket
servers = [socket.create_server((address, {PORT})) for address in ("127.0.0.1", "{OTHER}")]
servers.append(socket.socket(socket.AF_UNIX))
servers[-1].bind("\\0{ABSTRACT}")
servers[-1].listen()
print("listens", flush=True)
while True:
    for server in select.select(servers, [], [])[0]:
        peer, _ = server.accept()
        peer.sendall(b"the machine")
        peer.close()
"""
# Run as the agent: prints what answers, and the names of keys that it may see.
TRIES = f"""
import socket, sys
def answer(kind, address):
    with socket.socket(kind) as attempt:
        attempt.settimeout(3)
        try:
            attempt.connect(address)
            return attempt.recv(100).decode()
        except OSError:
            return "-"
for address in ("127.0.0.1", "{OTHER}", "203.0.113.253", "203.0.113.254", "169.254.1.1"):
    print(address, answer(socket.AF_INET, (address, {PORT})))
print("abstract", answer(socket.AF_UNIX, "\\0{ABSTRACT}"))
print("keys", *(line.split()[-2] for line in open("/proc/keys")))
"""
# Adds a key to the session keyring, as a login may (add_key(2), KEY_SPEC_SESSION_KEYRING -3), then runs a command.
KEY = "codetainer-test-key"
WITH_KEY = f"""
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
keyctl, add_key = (250, 248) if os.uname().machine == "x86_64" else (219, 217)
assert libc.syscall(keyctl, 1, None) > 0
assert libc.syscall(add_key, b"user", b"{KEY}", b"pretend", 7, -3) > 0
assert "{KEY}" in open("/proc/keys").read()
os.execv(sys.argv[1], sys.argv[1:])
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
            "/usr/bin/python3", "-I", "-c", WITH_KEY, *CODETAINER, "up", "--net", "nat", "--name", f"nat-{os.getpid()}",
            "--domains", str(self.folder / "domains.conf"), "--", *command,
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


# Runs pasta as if an option that closes the machine's loopback were missing: -T and -U, or --no-map-gw.
AS_BY_DEFAULT = """#!/bin/sh
for word; do
    shift
    [ "$last" != -T ] && [ "$last" != -U ] || [ FORGOTTEN != -T ] || word=auto
    last=$word
    [ "$word" = FORGOTTEN ] && [ "$word" = --no-map-gw ] || set -- "$@" "$word"
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
def machine(folder: Path, resolvers: str, *, forgotten: str = "") -> Iterator[Machine]:
    """A machine with these lines in resolv.conf. `forgotten`: the option that its pasta does not get."""
    internet = process.new()
    process.start(internet, description.parse(INTERNET, "test"), -1, Authority())

    def prepare(own: Path) -> None:
        (own / "resolv.conf").write_text(resolvers)
        (own / "resolv.conf").chmod(0o644)
        own.chmod(0o755)
        namespaces.bind(own / "resolv.conf", Path("/etc/resolv.conf").resolve())
        namespaces.mount("tmpfs", Path("/run"), "tmpfs")  # hides the real machine's /run, which may name its resolvers
        if forgotten:
            program = Path("/usr/bin/pasta").resolve()
            shutil.copy(program, own / "pasta")
            (own / "wrapper").write_text(AS_BY_DEFAULT.replace("REAL", str(own / "pasta")).replace("FORGOTTEN", forgotten))
            (own / "wrapper").chmod(0o755)
            namespaces.mount(str(own / "wrapper"), program, flags=Mount.BIND)

    try:
        with rootless.user(prepare, base=folder, kinds=Namespace.MOUNT | Namespace.NET) as who:
            process.connect(internet.pid, who.pid)
            system.run([*namespaces.nsenter(who.pid, Namespace.NET), "--", "ip", "address", "add", f"{OTHER}/32", "dev", "lo"])
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


def test_listed_names_are_reached_and_nothing_of_the_machine_is(here: Machine) -> None:
    """`up` ends by kill -9, and with it the program that carries the connections."""
    script = f'echo runs; {CURL}; /usr/bin/python3 -I -c "$0"; codetainer status --walls; echo end; cat'
    adopt(1)
    try:
        with listening(here), here.up("sh", "-c", script, TRIES) as up:
            assert up.stdout is not None
            lines = list(iter(up.stdout.readline, "end\n"))
            assert lines[0] == "listed.test answers /page\n", here.errors()
            found = dict(line.rstrip().partition(" ")[::2] for line in lines[1:8])
            addresses = ("127.0.0.1", OTHER, "203.0.113.253", "203.0.113.254", "169.254.1.1", "abstract")
            assert {address: found[address] for address in addresses} == dict.fromkeys(addresses, "-")
            assert KEY not in found["keys"]
            assert ["loopback", "holds"] in [line.split()[:2] for line in lines[8:]]
            assert here.errors() == ""
            assert len(helpers()) == 1
            up.kill()
            eventually("it has ended", lambda: helpers() == [])
    finally:
        adopt(0)


def test_the_self_test_finds_what_pasta_opens_by_default(tmp_path: Path) -> None:
    """The sandbox stays closed. Without the protection, the agent could talk to the machine's 127.0.0.1."""
    with machine(tmp_path, "nameserver 203.0.113.53\n", forgotten="-T") as there, listening(there):
        stays_closed = pytest.raises(AssertionError, match="a program outside of the sandbox listens inside on")
        with stays_closed, there.up("sh", "-c", "echo runs; cat"):
            pass


def test_up_refuses_a_gateway_that_is_the_machines_loopback(tmp_path: Path) -> None:
    with machine(tmp_path, "nameserver 203.0.113.53\n", forgotten="--no-map-gw") as there:
        stays_closed = pytest.raises(AssertionError, match=r"pasta opens this machine's loopback at 203\.0\.113\.25")
        with stays_closed, there.up("sh", "-c", "echo runs; cat"):
            pass


def test_up_ends_with_the_program_that_carries_connections(here: Machine) -> None:
    with here.up("sh", "-c", "echo runs; cat") as up:
        (carrier,) = eventually("it runs", helpers)
        carrier.kill()
        assert up.wait(timeout=PATIENCE) == 1
    assert "cannot continue: pasta (exit code -9) has ended" in here.errors()
