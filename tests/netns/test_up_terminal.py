"""`codetainer up` and `enter` at a terminal: relaying, restoring the terminal, and keeping it from the sandbox."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.netns.sandbox import CODETAINER, IDLE, PATIENCE, SHORT, Running, eventually, start

pytestmark = pytest.mark.netns

LOOP = "while :; do sleep 0.05; done"


class Terminal:
    """An operator's terminal with a program in its own session; the test types and reads.

    `answers`: the replies that a real terminal sends to queries.
    """

    def __init__(
        self,
        *argv: str,
        stdout: int | None = None,
        stdin: int | None = None,
        program: Sequence[str] = CODETAINER,
        answers: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        self._answers = answers
        self.master, self.slave = pty.openpty()
        self.resize(30, 100)
        self.as_it_was = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [*program, *argv], stdin=self.slave if stdin is None else stdin, stderr=self.slave,
            stdout=self.slave if stdout is None else stdout,
            start_new_session=True, env={**os.environ, "TERM": "xterm-256color"},
            preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, text: str) -> None:
        """Waits until a text has appeared on the screen since the last call."""
        self._eventually(f"{text!r} is on the terminal", lambda: self._read(text.encode()))

    def _read(self, text: bytes) -> bool:
        while select.select([self.master], [], [], 0)[0]:
            data = os.read(self.master, 65536)
            self.seen += data
            self.answer(data)
        if text not in self.seen:
            return False
        self.seen = self.seen.partition(text)[2]
        return True

    def answer(self, data: bytes) -> None:
        """Sends the terminal's replies to new output."""
        for question, answer in self._answers.items():
            os.write(self.master, answer * data.count(question))

    def code(self) -> int:
        def ended() -> bool:
            self._read(b"\0")  # a writer blocks until the terminal is read
            return self.process.poll() is not None

        self._eventually("it ends", ended)
        return self.process.returncode

    def _eventually(self, what: str, holds: Callable[[], bool]) -> None:
        try:
            eventually(what, holds)
        except AssertionError as error:
            raise AssertionError(f"{error}; shown is {self.seen[-2000:]!r}") from None

    def restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.as_it_was

    def holders(self, init: int) -> set[str]:
        """Returns the processes of a sandbox that have this terminal open."""
        # Each devpts numbers its terminals from 0; the file system's device number distinguishes them.
        ours, inside = os.fstat(self.slave), Path(f"/proc/{init}/ns/pid").stat().st_ino
        holders = set()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "ns/pid").stat().st_ino == inside:
                    for descriptor in (process / "fd").iterdir():
                        with contextlib.suppress(OSError):
                            if os.path.samestat(descriptor.stat(), ours):
                                holders.add(f"{(process / 'cmdline').read_bytes()!r} {descriptor.name}")
        return holders

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def at(*argv: str, **options: Any) -> Iterator[Terminal]:
    terminal = Terminal(*argv, **options)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    sandbox = start(tmp_path_factory.mktemp("sandbox"), f"terminal-{os.getpid()}")
    yield sandbox
    sandbox.stop()


def enter(running: Running, *argv: str) -> list[str]:
    return ["enter", "--name", running.name, *argv]


def test_a_command_gets_a_terminal_of_the_sandbox(running: Running) -> None:
    with at(*enter(running, "--", "sh", "-c", "tty; stty size; stat -c %u $(tty); exit 5")) as terminal:
        terminal.expect("/dev/pts/")
        terminal.expect("30 100")
        terminal.expect("1000")
        assert terminal.code() == 5
        assert terminal.restored()


def test_a_new_size_arrives(running: Running) -> None:
    with at(*enter(running, "--", "sh", "-c", f"trap 'stty size' WINCH; echo ready; {LOOP}")) as terminal:
        terminal.expect("ready")
        terminal.resize(33, 77)
        terminal.expect("33 77")
        terminal.type("\x03")
        assert terminal.code() == 128 + signal.SIGINT


def test_ctrl_c_reaches_the_command(running: Running) -> None:
    with at(*enter(running, "--", "sh", "-c", f"trap 'echo heard; exit 9' INT; echo ready; {LOOP}")) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        terminal.expect("heard")
        assert terminal.code() == 9
        assert terminal.restored()


def test_the_terminal_is_restored_after_a_command_was_killed(running: Running) -> None:
    with at(*enter(running, "--", "sh", "-c", r"printf '\033[?1049h\033[?1000h'; stty raw; echo up; kill -9 $$")) as terminal:
        terminal.expect("up")
        assert terminal.code() == 128 + signal.SIGKILL
        assert terminal.restored()
        terminal.expect("\x1b[?1000l")  # mouse reports are off again


def test_a_closed_terminal_ends_the_command(running: Running) -> None:
    with at(*enter(running, "--", "sh", "-c", "trap '' HUP; echo $$ > /tmp/closed; echo ready; sleep 600")) as terminal:
        terminal.expect("ready")
        os.close(terminal.master)
        terminal.master = os.open("/dev/null", os.O_RDWR)
        os.kill(terminal.process.pid, signal.SIGSTOP)  # like sshd: nothing reads any more, and the session leader gets SIGHUP
        os.kill(terminal.process.pid, signal.SIGCONT)
        eventually("it ends", lambda: terminal.process.poll() is not None)
        ended = 'kill -0 "$(cat /tmp/closed)" 2>/dev/null'
        eventually("the command has ended", lambda: running.agent("sh", "-c", ended).returncode != 0)


def test_much_typed_at_once_is_neither_lost_nor_stuck(running: Running) -> None:
    """More than a terminal's buffer, to a program that writes all the time and reads late."""
    lines, width = 3000, 60
    script = f'stty -echo; echo ready; seq 200000; wc -l <<< "$(head -n {lines})"'
    with at(*enter(running, "--", "bash", "-c", script)) as terminal:
        terminal.expect("ready")
        text = ("x" * width + "\n") * lines
        sent = 0
        os.set_blocking(terminal.master, False)
        while sent < len(text):
            terminal._read(b"\0")
            with contextlib.suppress(BlockingIOError):
                sent += os.write(terminal.master, text[sent : sent + 4096].encode())
        terminal.expect(f"{lines}\r\n")
        assert terminal.code() == 0


@pytest.mark.parametrize("redirected", ["stdin", "stdout"])
def test_with_one_stream_redirected_the_sandbox_does_not_hold_the_terminal_either(running: Running, redirected: str) -> None:
    """A process with any descriptor of the operator's terminal can read what is typed on it."""
    reading, writing = os.pipe()
    command = 'echo $$ >&2; readlink /proc/self/fd/0 >&2; read word; echo "got $word" >&2; sleep 600'
    with at(
        *enter(running, "--", "sh", "-c", command), **{redirected: reading if redirected == "stdin" else writing}
    ) as terminal:
        terminal.expect("pipe:")
        if redirected == "stdin":
            os.write(writing, b"hello\n")
        else:
            terminal.type("hello\n")
        terminal.expect("got hello")
        assert terminal.holders(running.init) == set()
        terminal.type("\x03")
        assert terminal.code() == 128 + signal.SIGINT
    os.close(reading)
    os.close(writing)


def test_the_sandbox_does_not_hold_a_terminal_that_shows_lines() -> None:
    with at(
        "up", "--net", "pretend", "--claude", str(IDLE), "--domains", str(SHORT), "--no-tui", "--name", f"lines-{os.getpid()}"
    ) as terminal:
        terminal.expect("boot finished")
        from backend.sandbox import registry

        assert terminal.holders(registry.find(f"lines-{os.getpid()}")) == set()
        terminal.type("\x03")
        assert terminal.code() == 128 + signal.SIGINT
        assert b"the sandbox is stopping" in terminal.seen  # the last line is shown, too


def test_ctrl_c_at_a_terminal_in_the_middle_of_boot() -> None:
    with at("up", "--net", "pretend", "--no-tui", "--name", f"early-{os.getpid()}", "--", "true") as terminal:
        terminal.expect("boot started")
        terminal.type("\x03")
        assert terminal.code() == 128 + signal.SIGINT
        assert terminal.restored()


def test_a_terminal_shows_that_boot_runs_and_then_belongs_to_the_command() -> None:
    with at("up", "--net", "pretend", "--name", f"quiet-{os.getpid()}", "--", "printf", "ran") as terminal:
        terminal.expect("codetainer: booting")
        assert terminal.code() == 0
        assert terminal.seen == b"\r\r\x1b[K\rran"


def test_reported_commands_wait_until_the_terminal_is_free() -> None:
    """While the command uses the terminal in raw mode, each line would begin where the previous one ended."""
    up = ("up", "--net", "pretend", "--debug", "--domains", str(SHORT), "--claude", str(IDLE), "--name", f"drawn-{os.getpid()}")
    with at(*up, "--", "sh", "-c", "echo of-the-command; exit 4") as terminal:
        assert terminal.code() == 4
        before, _, after = terminal.seen.partition(b"of-the-command\r\n")
        assert b"codetainer: debug:" not in before
        assert b" started: nsenter " in after and b"of-the-command; exit 4'\r\n" in after
        assert all(line.startswith(b"codetainer: debug: ") for line in after.splitlines() if b"debug" in line)


def test_a_killed_enter_takes_its_command_with_it(running: Running) -> None:
    command = [
        *CODETAINER,
        "enter",
        "--name",
        running.name,
        "--",
        "sh",
        "-c",
        "echo $$ > /tmp/mine; echo ready; exec sleep 600",
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.wait()
    process.stdout.close()
    alive = 'kill -0 "$(cat /tmp/mine)" 2>/dev/null'
    eventually("the command has ended", lambda: running.agent("sh", "-c", alive).returncode != 0)


def test_a_signal_reaches_the_command(running: Running) -> None:
    script = f"trap 'echo heard; exit 4' TERM; echo ready; {LOOP}"
    command = [*CODETAINER, "enter", "--name", running.name, "--", "sh", "-c", script]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.communicate(timeout=PATIENCE)[0] == "heard\n"
    assert process.returncode == 4
