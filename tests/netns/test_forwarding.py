"""Stop signals for a command in a sandbox, and closed descriptors of the command line; with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.sandbox.forwarding import FORWARDED, Forwarding
from tests.netns.sandbox import CODETAINER, PATIENCE

pytestmark = pytest.mark.netns

STUBBORN = "trap '' TERM INT HUP QUIT; echo ready; while :; do sleep 0.1; done"
OBEDIENT = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done"


@contextmanager
def command(script: str, grace: float) -> Iterator[tuple[subprocess.Popen[bytes], Forwarding]]:
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        forwarding = Forwarding(process.pid, FORWARDED, grace)
        with forwarding:
            yield process, forwarding
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_command_that_ignores_the_signal_is_killed_after_the_grace_period(number: signal.Signals) -> None:
    with command(STUBBORN, 0.2) as (process, forwarding):
        os.kill(os.getpid(), number)
        assert process.wait(PATIENCE) == -signal.SIGKILL
        assert forwarding.killed_for == 128 + number


def test_a_command_that_ends_keeps_its_exit_code() -> None:
    with command(OBEDIENT, PATIENCE) as (process, forwarding):
        os.kill(os.getpid(), signal.SIGTERM)
        assert process.wait(PATIENCE) == 3
        assert forwarding.killed_for == 0


def test_only_the_second_interrupt_asks_a_command_to_end() -> None:
    with command(STUBBORN, 0.01) as (process, forwarding):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)  # much longer than the grace period
        assert process.poll() is None
        os.kill(os.getpid(), signal.SIGINT)
        assert process.wait(PATIENCE) == -signal.SIGKILL
        assert forwarding.killed_for == 128 + signal.SIGINT


def test_the_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in (*FORWARDED, signal.SIGALRM)]
    with command(OBEDIENT, PATIENCE):
        os.kill(os.getpid(), signal.SIGHUP)
    assert [signal.getsignal(number) for number in (*FORWARDED, signal.SIGALRM)] == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["--help", "status", "enter --name no-such-sandbox", "up --nothing"])
def test_closed_descriptors_cause_no_traceback_and_no_output_in_files(closed: str, words: str, tmp_path: Path) -> None:
    script = f"exec {closed}; exec {' '.join(CODETAINER)} {words}"
    plain = subprocess.run(["sh", "-c", script.split("; ", 1)[1]], capture_output=True, text=True, check=False, cwd=tmp_path)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == plain.returncode
    for text, expected in ((done.stdout, plain.stdout), (done.stderr, plain.stderr)):
        assert text.splitlines()[:1] in ([], expected.splitlines()[:1])  # later lines name the sandboxes that run
    assert list(tmp_path.iterdir()) == []
