"""The front ends as processes: signals, exit codes, and a terminal that is restored or disappears."""

import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.netns.sandbox import PATIENCE

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests/journals/ready.jsonl"

# A minimal backend: writes a journal, and exits on a signal.
BACKEND = """
import signal, sys
from pathlib import Path
from backend.contract.events import BootStarted, Noted, RepositoryWork, Stopping, WorkCounted, WorkSaved
from backend.contract.paths import Paths
from backend.journal import Journal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
journal = Journal(Paths(Path(sys.argv[1])))
journal.emit(BootStarted("0.1.0", (), "octo/repo"))
journal.emit(Noted("warning", "long before"))
number = signal.sigwait({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
journal.emit(Stopping(signal.Signals(number).name))
journal.emit(WorkCounted((RepositoryWork("/workspace/repo", commits=1),), "stopping"))
journal.emit(WorkSaved("wip/x", problem="no route"))
sys.exit(int(sys.argv[2]))
"""
FRONT = """
import sys
from pathlib import Path
from backend.contract.paths import Paths
from codetainer_tui import boot
sys.exit(boot.lines(Paths(Path(sys.argv[1])), sys.argv[3:], as_json=sys.argv[2] == "json"))
"""
SCREEN = """
import sys
from pathlib import Path
from backend.contract.paths import Paths
from codetainer_tui import boot
sys.exit(boot.screen(Paths(Path(sys.argv[1])), sys.argv[2:], ["/bin/sh", "-c", "echo the screen; read line; echo left"]))
"""


def backend(folder: Path, code: int = 0) -> list[str]:
    return [sys.executable, "-c", BACKEND, str(folder), str(code)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run/codetainer").mkdir(parents=True)
    return tmp_path


@contextmanager
def front(folder: Path, form: str, argv: list[str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", FRONT, str(folder), form, *argv], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_forwarded_to_the_backend_and_its_exit_code_returned(folder: Path, number: signal.Signals) -> None:
    with front(folder, "text", backend(folder, 7)) as process:
        assert process.stdout is not None
        while "boot started" not in process.stdout.readline():
            pass
        process.send_signal(number)
        out, _ = process.communicate(timeout=PATIENCE)
        assert f"the sandbox is stopping: {number.name}" in out
        assert process.returncode == 7


def test_json_lines_are_those_of_the_journal(folder: Path) -> None:
    with front(folder, "json", backend(folder)) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["kind"] == "boot.started"
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_the_error_of_a_backend_that_cannot_start_is_shown(folder: Path) -> None:
    with front(folder, "text", ["/bin/sh", "-c", "echo cannot boot: the settings >&2; exit 2"]) as process:
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out, err) == (2, "", "cannot boot: the settings\n")


def test_a_killed_backend_gives_the_code_of_its_signal(folder: Path) -> None:
    with front(folder, "text", ["/bin/sh", "-c", "kill -9 $$"]) as process:
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 137


def test_the_sandbox_goes_on_when_nobody_reads(folder: Path) -> None:
    with front(folder, "text", backend(folder)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        with (folder / "run/codetainer/events.jsonl").open("a") as journal:
            journal.write('{"at":1,"seq":9,"kind":"noted","level":"info","text":"into the void"}\n' * 100)
        # After the broken pipe the front end replaces its stdout with /dev/null.
        deadline = time.monotonic() + PATIENCE
        while Path(f"/proc/{process.pid}/fd/1").readlink() != Path(os.devnull) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None
        process.terminate()
        assert process.wait(PATIENCE) == 0


def spawn(argv: list[str], **more: Any) -> "pexpect.spawn[bytes]":
    environment = {**os.environ, "TERM": "xterm-256color"}
    return pexpect.spawn(argv[0], argv[1:], dimensions=(24, 80), timeout=PATIENCE, cwd=str(ROOT), env=environment, **more)


def test_the_backend_goes_on_behind_its_screen_until_ctrl_c(folder: Path) -> None:
    child = spawn([sys.executable, "-c", SCREEN, str(folder), *backend(folder, 5)])
    child.expect("the screen")
    child.sendline("")
    child.expect("left")
    child.expect("the sandbox keeps running")
    child.sendintr()
    child.expect("unsaved work: /workspace/repo: 1 commit not pushed")
    child.expect("cannot save /workspace/repo to wip/x: no route")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


def test_the_backends_stderr_is_shown_unchanged(folder: Path) -> None:
    child = spawn([sys.executable, "-c", SCREEN, str(folder), "/bin/sh", "-c", "echo cannot boot: the settings >&2; exit 2"])
    child.expect("cannot boot: the settings")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2


# --- the dashboard's terminal ---

DASHBOARD = [sys.executable, "-I", "-m", "codetainer_tui.cli", "dashboard", "--replay", str(RECORDED), "--speed", "0"]
ENDS: list[tuple[str, Callable[["pexpect.spawn[bytes]"], object], int]] = [
    ("q", lambda child: child.send("q"), 0),
    ("ctrl+c", lambda child: child.send("\x03"), 0),
    ("SIGTERM", lambda child: child.kill(signal.SIGTERM), 143),
    ("SIGHUP", lambda child: child.kill(signal.SIGHUP), 129),
]


@pytest.mark.parametrize(("name", "end", "code"), ENDS, ids=[name for name, _, _ in ENDS])
def test_the_terminal_is_left_as_it_was(name: str, end: Callable[["pexpect.spawn[bytes]"], object], code: int) -> None:
    child = spawn(DASHBOARD)
    before = termios.tcgetattr(child.child_fd)
    child.expect("quit")
    end(child)
    output = child.read()
    for mode in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?2004l"):
        assert mode in output
    assert termios.tcgetattr(child.child_fd)[3] == before[3]
    child.close()
    assert child.exitstatus == code


def test_a_terminal_that_goes_away_takes_the_dashboard_with_it() -> None:
    child = spawn(DASHBOARD, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    child.expect("quit")
    os.close(child.child_fd)
    assert child.pid is not None
    deadline = time.monotonic() + PATIENCE
    ended = 0
    while not ended and time.monotonic() < deadline:
        ended, status = os.waitpid(child.pid, os.WNOHANG)
        time.sleep(0.02)
    if not ended:
        os.kill(child.pid, signal.SIGKILL)
    assert ended
    assert os.waitstatus_to_exitcode(status) == 129


def test_without_colour_no_colour_is_sent() -> None:
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    child = pexpect.spawn(DASHBOARD[0], DASHBOARD[1:], dimensions=(24, 80), timeout=PATIENCE, cwd=str(ROOT), env=environment)
    child.expect("quit")
    output = child.before
    assert isinstance(output, bytes)
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()
    colours = {number for codes in re.findall(rb"\x1b\[([0-9;]*)m", output) for number in codes.split(b";")}
    assert colours <= {b"", b"0", b"1", b"2", b"7", b"39", b"49"}


def test_a_terminal_of_type_unknown_gets_the_screen() -> None:
    environment = {**os.environ, "TERM": "unknown"}
    child = pexpect.spawn(DASHBOARD[0], DASHBOARD[1:], dimensions=(24, 80), timeout=PATIENCE, cwd=str(ROOT), env=environment)
    child.expect("quit")
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


CRASH = """
import sys
from pathlib import Path
from codetainer_tui import dashboard
from codetainer_tui.dashboard.app import Dashboard
def tick(self):
    password = "planted-" + "value"
    raise RuntimeError("a defect \\x1b[31mred")
Dashboard.tick = tick
sys.exit(dashboard.replay(Path(sys.argv[1]), 0.0))
"""


def test_a_defect_leaves_the_terminal_as_it_was_and_shows_no_values() -> None:
    child = spawn([sys.executable, "-c", CRASH, str(RECORDED)])
    before = termios.tcgetattr(child.child_fd)
    child.expect("the dashboard crashed; the sandbox keeps running")
    assert isinstance(child.before, bytes)
    output = child.before + child.read()
    assert b"\x1b[?1049l" in output
    assert b"RuntimeError: a defect" in output
    assert b"planted-value" not in output
    assert b"\x1b[31mred" not in output
    assert termios.tcgetattr(child.child_fd)[3] == before[3]
    child.close()
    assert child.exitstatus == 1


@pytest.mark.parametrize(("form", "variables"), [("a pipe", {}), ("a dumb terminal", {"TERM": "dumb"}), ("--plain", {})])
def test_lines_are_printed_if_no_screen_can_be_drawn(form: str, variables: dict[str, str]) -> None:
    if form == "a pipe":
        done = subprocess.run(
            DASHBOARD, stdin=subprocess.DEVNULL, capture_output=True, cwd=ROOT, timeout=PATIENCE, text=True, check=False
        )  # fmt: skip
        code, output = done.returncode, done.stdout
    else:
        argv = [*DASHBOARD, "--plain"] if form == "--plain" else DASHBOARD
        environment = {**os.environ, "TERM": "xterm-256color", **variables}
        child = pexpect.spawn(
            argv[0], argv[1:], dimensions=(24, 80), timeout=PATIENCE, cwd=str(ROOT), env=environment, encoding="utf-8"
        )  # fmt: skip
        output = child.read()
        child.close()
        code = child.exitstatus or 0
    assert code == 0
    assert "\x1b" not in output
    assert "refused pypi.example.org: not on the allowlist, by pip" in output


def test_a_signal_while_a_shell_has_the_terminal_ends_both(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from backend.contract.paths import Paths; from codetainer_tui import dashboard;"
        "sys.exit(dashboard.run(Paths(Path(sys.argv[1])), stay=True))"
    )
    child = spawn([sys.executable, "-c", program, str(tmp_path)])
    child.expect("boot continues")
    child.send("s")
    child.expect("exit returns here")
    child.sendline("echo shell-$$-here")
    child.expect(rb"shell-(\d+)-here")
    assert isinstance(child.match, re.Match)
    shell = Path(f"/proc/{int(child.match[1])}")
    child.kill(signal.SIGTERM)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 143
    assert not shell.exists()
