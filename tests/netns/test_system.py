"""backend/system.py with real processes: their output, processes that keep the output open, and their ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from backend import commands, system
from backend.commands import Command, Outcome
from backend.contract.paths import AGENT_UID
from backend.debug_log import Formatter
from backend.redaction import Redaction
from backend.services.service import lines
from backend.system import GATE, ROOT, SystemFailure
from tests.recorder import Recorder

pytestmark = pytest.mark.netns


def test_a_descendant_that_keeps_the_output_open_blocks_nothing() -> None:
    """A descendant in its own session keeps the output open; only the end of the started process counts."""
    done = asyncio.run(system.run_async(["sh", "-c", "setsid sleep 60 & echo $!"], timeout=30.0))
    os.kill(int(done.out), signal.SIGKILL)
    assert done.code == 0


def test_endless_output_is_bounded() -> None:
    talk = "timeout 2 yes; echo $? $(timeout 2 yes 2>/dev/null | head -n 1) >&2; timeout 2 yes >&2"
    done = asyncio.run(system.run_async(["sh", "-c", talk], most=1000, check=False))
    assert (done.code, len(done.out), len(done.err)) == (1, 1000, 1000)
    assert "1 y" in done.err.split("\n")[:3]


def test_output_of_the_agents_processes_is_always_bounded() -> None:
    agent = system.Identity("claude", AGENT_UID)
    done = asyncio.run(system.run_async(["sh", "-c", "timeout 5 yes"], identity=agent, check=False))
    assert (done.code, len(done.out)) == (1, system.MAX_AGENT_OUTPUT)


def test_output_of_roots_processes_is_complete() -> None:
    done = asyncio.run(system.run_async(["sh", "-c", "head -c 3000000 /dev/zero; echo more > /dev/stderr"]))
    assert (len(done.out), done.err) == (3_000_000, "more\n")


def distrusted(script: str, most: int) -> system.Finished:
    return asyncio.run(
        system.run_distrusted(
            ["sh", "-c", script], what="it", identity=system.ROOT, environment=system.BASE_ENVIRONMENT, seconds=30.0, most=most
        )
    )


def test_a_descendant_of_an_untrusted_process_that_keeps_the_output_open_blocks_nothing() -> None:
    done = distrusted("setsid sleep 60 & echo $!", 1000)
    os.kill(int(done.out), signal.SIGKILL)
    assert done.code == 0


@pytest.mark.parametrize("most", [1000, system.PAGE, system.PAGE + 1, 1 << 20])
def test_an_untrusted_process_cannot_write_more_than_the_bound(most: int) -> None:
    """Otherwise the agent could use memory that is charged to no process of its own."""
    done = distrusted("echo begun; timeout 2 yes", most)
    assert (done.code, len(done.out), done.out[:8]) == (1, most, "begun\ny\n")
    assert distrusted(f"head -c {most} /dev/zero | tr '\\0' x", most).out == "x" * most


@pytest.mark.parametrize("way", [">", ">>", "<>"])
def test_the_file_cannot_be_reopened_and_enlarged(way: str) -> None:
    done = distrusted(f"echo first; timeout 2 yes {way} /dev/stdout; echo last", 1000)
    assert len(done.out) <= 1000


def test_the_same_bounds_hold_in_synchronous_calls() -> None:
    agent = system.Identity("claude", AGENT_UID)
    done = system.run(["sh", "-c", "timeout 5 yes"], identity=agent, check=False)
    assert (done.code, len(done.out)) == (1, system.MAX_AGENT_OUTPUT)
    done = system.run(["sh", "-c", "setsid sleep 60 & echo $!"])
    os.kill(int(done.out), signal.SIGKILL)
    assert done.code == 0
    with pytest.raises(system.SystemFailure, match="not done within"):
        system.run(["sh", "-c", "setsid sleep 5 & exec sleep 60"], timeout=0.2)
    assert system.run(["cat"], input="told\n").out == "told\n"


def test_input_arrives_and_failures_are_named() -> None:
    assert asyncio.run(system.run_async(["cat"], input="told\n")).out == "told\n"
    assert asyncio.run(system.run_async(["cat"])).out == ""
    with pytest.raises(system.SystemFailure, match="cannot run sh: why"):
        asyncio.run(system.run_async(["sh", "-c", "echo why >&2; exit 3"]))
    with pytest.raises(system.SystemFailure, match="not done within"):
        asyncio.run(system.run_async(["sleep", "60"], timeout=0.1))


# --- reports to the observer ---


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    commands.observe(made)
    yield made
    commands.observe(None)


WHY = ["sh", "-c", "cat; echo why >&2; exit 3"]


def test_each_way_to_run_a_command_is_reported(recorder: Recorder) -> None:
    environment = {"PATH": system.SYSTEM_PATH, "A": "b"}

    def observed() -> tuple[object, ...]:
        command, outcome = recorder.last
        assert command.argv == tuple(WHY) and dict(command.environment) == environment
        return command.identity, command.stdin, outcome.code, outcome.stderr.strip()

    system.run(WHY, environment=environment, input="in", check=False)
    assert observed() == ("root", b"in", 3, "why")
    system.ask(WHY, environment=environment, cwd="/tmp", input=b"in", timeout=30.0, most=100)
    assert (observed(), recorder.last[0].cwd) == (("root", b"in", 3, "why"), "/tmp")
    asyncio.run(system.run_async(WHY, environment=environment, input="in", check=False))
    assert observed() == ("root", b"in", 3, "why")
    asyncio.run(system.run_distrusted(WHY, what="it", identity=GATE, environment=environment, seconds=30.0, most=1000))
    assert observed() == ("gate", None, 3, "why")
    assert recorder.last[0].exec_argv == tuple(GATE.wrap(WHY))


@pytest.mark.parametrize("where", ["file", "stderr", "stdout"])
def test_a_service_is_reported_with_its_last_lines(recorder: Recorder, where: str) -> None:
    async def run() -> None:
        file, pipe = os.memfd_create("stderr"), asyncio.subprocess.PIPE
        stdout, stderr = {"file": (None, file), "stderr": (None, pipe), "stdout": (pipe, asyncio.subprocess.STDOUT)}[where]
        process = await system.spawn(["sh", "-c", "echo why >&2; exit 3"], stdout=stdout, stderr=stderr, pass_fds=(file,))
        os.close(file)  # the caller need not keep it open
        if (stream := process.stdout or process.stderr) is not None:
            assert [line async for line in lines(stream)] == ["why"]
        await process.wait()
        await asyncio.gather(*system._reports)

    asyncio.run(run())
    command, outcome = recorder.last
    assert (outcome.code, outcome.stderr.strip(), len(command.descriptors)) == (3, "why", 1)


def test_a_command_that_still_runs_at_the_end_is_reported(recorder: Recorder) -> None:
    async def run() -> asyncio.subprocess.Process:
        return await system.spawn(["sleep", "60"])

    process = asyncio.run(run())
    os.kill(process.pid, signal.SIGKILL)
    assert recorder.last[1].problem == "left running at the end of this process"


def test_failed_starts_and_timeouts_are_reported(recorder: Recorder) -> None:
    def problem() -> str:
        assert recorder.last[1].code is None
        return recorder.last[1].problem

    nothing, long = ["codetainer-no-such-program"], ["sh", "-c", "echo why >&2; exec sleep 60"]
    starts: list[Callable[[list[str]], object]] = [
        lambda argv: system.run(argv, timeout=0.5),
        lambda argv: system.ask(argv, environment=system.BASE_ENVIRONMENT, cwd="/", timeout=0.5, most=1),
        lambda argv: asyncio.run(system.run_async(argv, timeout=0.5)),
    ]
    for begin in starts:
        with pytest.raises(SystemFailure):
            begin(nothing)
        assert problem() == "cannot run codetainer-no-such-program: not found"
        with pytest.raises(SystemFailure):
            begin(long)
        assert problem() == "cannot wait for sh: not done within 0.5 s"
        assert recorder.last[1].stderr.strip() == "why"
    with pytest.raises(SystemFailure):
        asyncio.run(system.spawn(nothing))
    assert "not found" in problem()


def test_lines_of_an_observer_in_a_child_are_relayed(recorder: Recorder) -> None:
    script = f"echo '{{}}'; echo '{commands.PREFIX}3#1 git' >&2; echo why >&2; exit 1"
    done = asyncio.run(
        system.run_distrusted(
            ["sh", "-c", script], what="it", identity=ROOT, environment=system.BASE_ENVIRONMENT, seconds=30.0, most=1000
        )
    )
    assert recorder.lines == [("3#1 git", "root")]
    assert (done.value(), done.last_line, recorder.last[1].stderr) == ({}, "why", "why")


def test_a_pasted_command_does_the_same_again() -> None:
    """Runs the debug log's line for a failed command in bash."""
    awkward = "it's $HOME \x1b[2J\n\\ ü %s \udcff -"
    script = 'cat; printf "%s|" "$PWD" "$VALUE" "$1"; exit 3'
    for text in (awkward, "-e", ""):
        environment = {"PATH": system.SYSTEM_PATH, "VALUE": text}
        argv = ["sh", "-c", script, "sh", text]
        one = Command(tuple(argv), tuple(argv), "root", environment, "/tmp", text.encode(errors="surrogateescape"), (), 0.0)
        paste = Formatter(Redaction(())).ended(one, Outcome(code=3), 0.0)[1]
        done = subprocess.run(["bash", "-c", paste], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (3, b"")
        assert done.stdout.decode(errors="surrogateescape") == f"{text}/tmp|{text}|{text}|"


THREADS = """
import threading, pathlib

def anonymous():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1])

def copy():
    for _ in range(20):
        piece = bytearray()
        while len(piece) < 1 << 20:
            piece += b"x" * 60000
        bytes(piece)

def work(arrived):
    copy()
    arrived.wait()

before = anonymous()
arrived = threading.Barrier(5)
threads = [threading.Thread(target=work, args=(arrived,)) for _ in range(4)]
for thread in threads:
    thread.start()
arrived.wait()
print(anonymous() - before)
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("returned", [True, False])
def test_threads_that_copied_large_pieces_keep_none_of_the_memory(returned: bool) -> None:
    """Without `return_freed` they keep some MB each, or this would test nothing."""
    first = "from backend.memory import return_freed; return_freed()" if returned else ""
    done = subprocess.run([sys.executable, "-c", first + THREADS], stdout=subprocess.PIPE, check=True)
    kept = int(done.stdout)  # KB
    assert kept < 2000 if returned else kept > 4000
