"""Leaving `codetainer up` at a terminal: from the session to the dashboard, and a question before work is lost."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.answering_terminal import EVIL, LAST_KEY, AnsweringTerminal, session
from tests.netns.sandbox import CODETAINER, backend_of, eventually
from tests.netns.test_login import DETACH, FAKE_CLAUDE, NAME, SHORTER, init
from tests.netns.test_up_terminal import Terminal
from tests.netns.traces import nothing_left
from tests.netns.work import host

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("nothing_left")]

__all__ = ["nothing_left"]

TMUX = "/run/codetainer/tmux/server.sock"


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treats the pretend internet like one that stays when the sandbox ends."""
    monkeypatch.setenv("CODETAINER_PRETEND", "off")


def work(script: str = "git commit -q --allow-empty -m one; git commit -q --allow-empty -m two; echo x > new") -> None:
    command = [*CODETAINER, "enter", "--name", NAME, "--", "sh", "-ec", f"cd /workspace/repo; {script}"]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)


def as_agent(*argv: str) -> None:
    subprocess.run([*CODETAINER, "enter", "--name", NAME, "--", *argv], stdin=subprocess.DEVNULL, check=True)


def goes_on(terminal: Terminal) -> bool:
    return terminal.process.poll() is None and bool(init())


def test_detach_leads_to_the_dashboard_which_shows_unsaved_work_before_it_stops() -> None:
    with session() as terminal:
        work()
        work("mkdir ../other; cd ../other; git init -q; echo x > y")
        terminal.detach()
        terminal.type("q")
        terminal.expect(f"Stop sandbox {NAME}?")
        terminal.expect("/workspace/repo: 2 commits not pushed, 1 file not committed")
        terminal.expect("/workspace/other: 1 file not committed")
        terminal.expect("stop and lose it")
        terminal.type("\x1b")
        terminal.expect(LAST_KEY)
        assert goes_on(terminal)
        terminal.type("t")  # and into the session again
        terminal.expect(FAKE_CLAUDE)
        terminal.detach()
        terminal.type("\x03")  # ctrl+c asks, too
        terminal.expect(f"Stop sandbox {NAME}?")
        terminal.expect("stop and lose it")
        terminal.type("y")
        terminal.expect("/workspace/repo: 2 commits and 1 file existed only in the sandbox and are lost.")
        terminal.expect("/workspace/other: 1 file existed only in the sandbox and is lost.")
        assert terminal.code() == 0
        assert b"CODETAINER_AUTOSAVE" not in terminal.seen, "the operator has chosen to lose it"
        assert terminal.restored()


def test_stopping_without_the_planned_save_loses_only_the_changes_since_the_last_one(lasting: None) -> None:
    with session() as terminal:
        work()
        work("mkdir ../second; cd ../second; git init -q; git commit -q --allow-empty -m s")
        done = terminal.sandbox().codetainer("save")
        assert re.match(
            r"saved /workspace/repo to wip/\S+ of example/demo; it will be saved again when the sandbox stops\n"
            r"not saved: /workspace/second: 1 commit not pushed\. "
            r"Run codetainer export second > second\.bundle to keep it\.\n\Z", done.stdout,
        ), done  # fmt: skip
        assert "unchanged since then" in terminal.sandbox().codetainer("work").stdout
        work("git commit -q --allow-empty -m three")
        terminal.detach()
        terminal.type("q")
        terminal.expect("/workspace/repo: 1 commit since the save at")
        terminal.expect("stopping without a save cancels it.")
        terminal.expect("stop without a save and lose it (other repositories not saved)")
        terminal.type("y")
        terminal.expect("/workspace/repo was saved at ")
        terminal.expect("Since then 1 commit was added or changed, and is lost.")
        terminal.expect("/workspace/second: 1 commit existed only in the sandbox and is lost.")
        assert terminal.code() == 0
        assert b"CODETAINER_AUTOSAVE" not in terminal.seen


def test_a_save_to_the_pretend_internet_is_not_offered() -> None:
    with session() as terminal:
        work()
        assert "pretend internet, which ends with this sandbox" in terminal.sandbox().codetainer("save").stdout
        terminal.detach()
        terminal.type("q")
        terminal.expect("A save would go to the pretend internet, which ends with this sandbox.")
        terminal.expect("codetainer export > work.bundle")
        terminal.expect("stop and lose it")
        assert b"then stop" not in terminal.seen
        terminal.type("y")
        terminal.expect("/workspace/repo: 2 commits and 1 file existed only in the sandbox and are lost.")
        assert terminal.code() == 0


def test_the_work_is_saved_before_the_stop_on_request(tmp_path: Path, lasting: None) -> None:
    seen = tmp_path / "seen.jsonl"
    with session("--pretend-log", str(seen)) as terminal:
        work()
        terminal.detach()
        terminal.type("q")
        terminal.expect("then stop")
        terminal.type("s")
        terminal.expect("/workspace/repo: 2 commits and 1 file are saved to branch wip/")
        assert terminal.code() == 0
        assert "/example/demo/git-receive-pack" in seen.read_text()


def test_a_failed_save_is_reported_and_the_sandbox_keeps_running(lasting: None) -> None:
    with session() as terminal:
        work()
        with host(terminal.sandbox()) as opened:
            hook = Path(f"/proc/self/fd/{opened}/example/demo/hooks/pre-receive")
            hook.write_text("#!/bin/sh\nexit 1\n")
            hook.chmod(0o755)
        terminal.detach()
        terminal.type("q")
        terminal.expect("then stop")
        terminal.type("s")
        terminal.expect("Saving failed: cannot save /workspace/repo to wip/")
        terminal.expect("stop and lose it")
        assert goes_on(terminal)
        terminal.type("y")
        assert terminal.code() == 0


def test_with_nothing_to_lose_the_question_is_shorter_and_a_save_is_not_offered() -> None:
    with session() as terminal:
        terminal.detach()
        terminal.type("q")
        terminal.expect("No unsaved work: every commit is pushed, and no file is changed.")
        terminal.expect("stay")
        terminal.expect("stop")
        assert b"wip/" not in terminal.seen
        terminal.type("y")
        assert terminal.code() == 0


def test_before_there_is_a_session_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODETAINER_GRACE", "1s")
    for _ in range(5):  # on a busy machine boot may have finished too early
        terminal = AnsweringTerminal(*SHORTER)
        try:
            eventually("the sandbox runs", init)
            sandbox = terminal.sandbox()
            eventually("boot has begun", lambda: sandbox.paths.journal.exists() and sandbox.stamped())  # noqa: B023
            os.kill(backend_of(sandbox), signal.SIGSTOP)
            if sandbox.state.session is None:
                terminal.expect(LAST_KEY)
                terminal.type("q")
                assert terminal.code() == 0
                assert b"Stop sandbox" not in terminal.seen
                return
        finally:
            terminal.close()
            eventually("it has gone", lambda: not init())
    raise AssertionError("boot was over each time")


def test_keys_do_nothing_after_the_session_detached_by_itself() -> None:
    """The agent chooses the moment, and the operator may be typing text meant for the session."""
    with session() as terminal:
        as_agent("tmux", "-S", TMUX, "detach-client", "-s", "claude")
        terminal.expect("the session closed unexpectedly")
        terminal.type("qy")
        terminal.expect("enable keys")
        terminal.unlock()
        assert b"Stop sandbox" not in terminal.seen
        assert goes_on(terminal)
        terminal.type("q")
        terminal.expect("Stop sandbox")
        terminal.type("y")
        assert terminal.code() == 0


def test_a_session_that_does_not_detach_is_closed() -> None:
    """The agent has stopped its own tmux server: the keys still lead to the dashboard, and from there to the end."""
    with session() as terminal:
        stop = 'kill -STOP "$(tmux -S "$0" display-message -p "#{pid}")"'
        as_agent("sh", "-c", stop, TMUX)
        terminal.detach()
        terminal.type("q")
        terminal.expect("Stop sandbox")
        terminal.type("y")
        assert terminal.code() == 0


FLOOD = """
import os, sys, time
terminal = os.open(sys.argv[1], os.O_WRONLY | os.O_NOCTTY)
for _ in range(30_000):
    os.write(terminal, sys.argv[2].encode())
    time.sleep(0.002)
"""


@contextlib.contextmanager
def flooded(terminal: AnsweringTerminal, text: str) -> Iterator[None]:
    """The agent writes to its client's terminal, bypassing tmux, 500 times a second for a minute, even without a client."""
    done = terminal.sandbox().agent("tmux", "-S", TMUX, "list-clients", "-F", "#{client_tty}")
    tty = done.stdout.strip()
    assert tty.startswith("/dev/pts/"), done
    command = [*CODETAINER, "enter", "--name", NAME, "--", "/usr/bin/python3", "-I", "-c", FLOOD, tty, text]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_terminal_replies_that_the_agent_provokes_answer_no_question() -> None:
    """Its flood does not block the dashboard and its keys either, although such replies may arrive after ctrl+b d."""
    with session() as terminal, flooded(terminal, EVIL.decode() * 20):
        eventually("the terminal answers", lambda: terminal._read(b"\0") or terminal.asked > 50)
        terminal.type(DETACH)
        terminal.expect("opening the dashboard")
        terminal.unlock()
        terminal.type("?")
        terminal.expect("shows unsaved work and asks first")
        assert b"Stop sandbox" not in terminal.seen
        assert goes_on(terminal)
        terminal.type("\x1b")
        terminal.expect(LAST_KEY)
        terminal.type("q")
        terminal.expect("Stop sandbox")
        terminal.type("y")
        assert terminal.code() == 0


def test_the_terminal_is_reset_before_the_dashboard_comes_back() -> None:
    left_behind = "\x1b[?1000h\x1b[?2004h\x1b]4;0;rgb:ff/ff/ff\x07\x1b[?69h\x1b[5;10r\x1b]0;yours\x07\x1b]2;half a title"
    with session() as terminal, flooded(terminal, left_behind):
        eventually("an unfinished title", lambda: terminal._read(b"half a title"))
        terminal.type(DETACH)
        for undone in ("\x1b\\", "\x1b[?1047l", "\x1b[?1000l", "\x1b[?2004l", "\x1b[?69l\x1b[r", "\x1b]104\x1b\\"):
            terminal.expect(undone)
        terminal.expect("opening the dashboard")
        terminal.expect(LAST_KEY)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.code() == 128 + signal.SIGTERM
        assert terminal.restored()


def test_a_dashboard_that_is_killed_leaves_the_question_in_words() -> None:
    with session() as terminal:
        work()
        terminal.detach()
        done = terminal.sandbox().root("pkill", "-KILL", "-f", "codetainer_tui.cli attach|bin/codetainer attach")
        assert done.returncode == 0
        terminal.expect("2 commits not pushed, 1 file not committed")
        terminal.expect("Type a word and press enter: ")
        terminal.type("y\r")  # not the full word
        terminal.expect("Type a word and press enter: ")
        terminal.type("session\r")
        terminal.expect(FAKE_CLAUDE)
        terminal.type(DETACH)
        terminal.expect("Type a word and press enter: ")
        terminal.type("stop\r")
        assert terminal.code() == 0
        assert terminal.restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_nobody(number: signal.Signals, lasting: None) -> None:
    with session() as terminal:
        work()
        terminal.detach()
        terminal.process.send_signal(number)
        terminal.expect("existed only in the sandbox and are lost.")
        terminal.expect("CODETAINER_AUTOSAVE=exit would have saved the work in /workspace/repo.")
        assert terminal.code() == 128 + number
        assert terminal.restored()


def test_a_terminal_that_goes_away_under_the_dashboard_takes_the_sandbox_down() -> None:
    with session() as terminal:
        terminal.detach()
        os.close(terminal.master)
        terminal.master = os.open("/dev/null", os.O_RDWR)
        eventually("it ends", lambda: terminal.process.poll() is not None)
