"""The demo at a terminal: the dashboard, the session, and nothing left after leaving."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from backend.contract.events import LockReleased
from backend.sandbox import claude, registry
from backend.sandbox.registry import NoSandbox
from codetainer_tui import handover
from tests.netns.sandbox import IDLE, SHORT, eventually
from tests.netns.test_up_terminal import Terminal, at
from tests.netns.traces import nothing_left

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("nothing_left")]

__all__ = ["nothing_left"]
NAME = f"login-{os.getpid()}"
DEMO = ("up", "--net", "pretend", "--name", NAME, "--claude")
SHORTER = (*DEMO, str(IDLE), "--domains", str(SHORT))
DETACH = "\x02d"
FAKE_CLAUDE = "This is a stand-in"  # the first words in the agent's pane
PROMPT = "claude@codetainer"  # of the shell below


def init() -> int:
    try:
        return registry.find(NAME)
    except NoSandbox:
        return 0


def is_client(terminal: Terminal) -> bool:
    """True if the relayed process is tmux, as the agent and without a way back to root."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            status = (process / "status").read_text()
            inside = (process / "ns/pid").stat().st_ino == Path(f"/proc/{init()}/ns/pid").stat().st_ino
        except OSError:
            continue
        if inside and b"attach-session" in words:
            return "\nUid:\t1000\t1000\t1000\t1000\n" in status and "\nNoNewPrivs:\t1\n" in status
    return False


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["dashboard", "plain"])
def test_the_demo_up_to_the_session_and_away(options: tuple[str, ...]) -> None:
    with at(*DEMO, str(claude.FAKE_CLAUDE), *options) as terminal:
        terminal.expect("READY" if options else "example/demo")  # boot is shown, one way or the other
        terminal.expect(FAKE_CLAUDE)
        eventually("the client is the agent's", lambda: is_client(terminal))
        assert terminal.holders(init()) == set()
        journal = Path(f"/proc/{init()}/root/run/codetainer/events.jsonl").read_text()
        assert LockReleased.kind in journal
        terminal.type(DETACH)
        if options:
            terminal.expect("Type a word and press enter: ")
            terminal.type("stop\r")
        else:
            terminal.expect("stop")  # the last of the dashboard's keys
            terminal.type("q")
            terminal.expect("Stop sandbox")
            terminal.type("y")
        assert terminal.code() == 0
        assert terminal.restored()
        assert b"\x1b[?1049h" not in terminal.seen.rpartition(b"\x1b[?1049l")[2]  # the previous screen is back


def test_the_session_is_typed_into_and_follows_the_size() -> None:
    with at(*SHORTER) as terminal:
        terminal.expect(PROMPT)  # a starting shell can lose what is typed
        terminal.resize(40, 132)
        terminal.type("\x02o")  # the shell below
        terminal.type("until stty size | grep 132; do sleep 0.05; done; id -un\r")
        terminal.expect(" 132\r\n")
        terminal.expect("claude")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.code() == 128 + signal.SIGTERM
        assert terminal.restored()


def test_a_terminal_that_goes_away_takes_the_demo_down() -> None:
    with at(*SHORTER) as terminal:
        terminal.expect(FAKE_CLAUDE)
        os.close(terminal.master)
        terminal.master = os.open("/dev/null", os.O_RDWR)
        eventually("it ends", lambda: terminal.process.poll() is not None)


def test_ctrl_c_while_boot_is_on_the_screen() -> None:
    with at(*SHORTER, "--plain") as terminal:
        terminal.expect("Network closed")
        terminal.type("\x03")
        assert terminal.code() == 128 + signal.SIGINT
        assert terminal.restored()


def test_a_shell_from_the_dashboard_leads_back_to_it() -> None:
    with at(*SHORTER) as terminal:
        terminal.expect("press any key to stay here")
        terminal.type("x")
        terminal.expect("staying here")
        terminal.type("s")
        terminal.expect("a shell as root")
        terminal.type("echo in-$((6*7))-$(id -u)\r")
        terminal.expect("in-42-0")
        terminal.type("exit\r")
        terminal.expect("the shell has ended")
        terminal.type("q")
        terminal.expect("Stop sandbox")
        terminal.type("y")
        assert terminal.code() == 0
        assert terminal.restored()


@pytest.mark.parametrize(
    ("requested", "used"),
    [
        ("vt100", "vt100"),
        ("xterm-256color", "xterm-256color"),
        *((t, "xterm-256color") for t in ("", "dumb", "unknown", "none-such")),
    ],
)
def test_the_session_gets_a_terminal_that_tmux_can_draw_on(requested: str, used: str) -> None:
    assert handover.known_term(requested) == used
