"""tmux through libtmux, with real processes: a real tmux, and fake ones that the agent might use instead."""

from __future__ import annotations

import asyncio
import enum
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import libtmux
import psutil
import pytest
from libtmux.exc import LibTmuxException

from backend import system
from backend.contract.paths import AGENT_UID, Paths
from backend.session.server import MAX_ANSWER, MAX_COMMANDS, Server
from backend.system import Identity, SystemFailure
from tests.netns.sandbox import eventually

pytestmark = pytest.mark.netns

AGENT = Identity("claude", AGENT_UID)  # without the seccomp filter, whose launcher exists in sandboxes only
PATIENT = 20.0  # seconds; more than any call in these tests needs
_seen: list[list[str]] | None = None  # argument lists of the processes started during a test


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is not None and event == "subprocess.Popen":
        _seen.append([os.fsdecode(word) for word in arguments[1]])
    elif _seen is not None and event in ("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system"):
        _seen.append([event])


sys.addaudithook(_look)


@pytest.fixture
def started() -> Iterator[list[list[str]]]:
    """The argument lists of all processes that this one starts."""
    global _seen
    _seen = []
    yield _seen
    _seen = None


@pytest.fixture
def folder(open_path: Path) -> Path:
    """A root folder for a sandbox's paths, with the files that tmux needs."""
    (open_path / "run/codetainer/tmux").mkdir(parents=True)
    os.chown(open_path / "run/codetainer/tmux", AGENT_UID, AGENT_UID)
    (open_path / "run/codetainer/tmux.conf").touch()
    return open_path


def pretending(folder: Path, program: str) -> Server:
    """A server whose tmux is a shell script."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/tmux").write_text(f"#!/bin/sh\n{program}\n")
    (folder / "bin/tmux").chmod(0o755)
    return Server(Paths(folder), {"PATH": f"{folder}/bin:{os.defpath}", "MARK": "given"}, AGENT)


def ask(tmux: Server, seconds: float = PATIENT) -> Any:
    return asyncio.run(tmux.perform(lambda server: server.cmd("display-message", "-p", "#{pid}"), seconds))


@pytest.fixture
def real(folder: Path) -> Iterator[Server]:
    tmux = Server(Paths(folder), system.BASE_ENVIRONMENT, AGENT)
    asyncio.run(tmux.perform(lambda server: server.cmd("new-session", "-d", "-s", "one", "cat")))
    yield tmux
    with suppress(SystemFailure):
        asyncio.run(tmux.perform(lambda server: server.kill()))


def test_a_command_runs_as_the_agent_with_its_own_environment_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "of the caller's")
    tmux = pretending(folder, "cat /proc/self/status; echo; env; readlink /proc/self/fd/0; pwd; umask")
    output = ask(tmux).stdout
    assert "\t".join(["Uid:", *["1000"] * 4]) in output
    assert "NoNewPrivs:\t1" in output
    assert "CapEff:\t0000000000000000" in output
    assert "MARK=given" in output
    assert not any("TOKEN" in line or "of the caller's" in line for line in output)
    assert output[-3:] == ["/dev/null", "/", "0022"]


def test_calls_that_consist_of_several_commands(real: Server, started: list[list[str]]) -> None:
    """Objects created by their id work in the same way as the server."""

    def call(server: Server) -> tuple[bool, list[str]]:
        pane = libtmux.Pane(server=server, pane_id="%0")
        pane.send_keys("typed", enter=True)
        return server.has_session("one"), pane.capture_pane()

    results: list[tuple[bool, list[str]]] = []

    def shown() -> bool:
        results.append(asyncio.run(real.perform(call)))
        return "typed" in results[-1][1]

    eventually("what was typed is on the screen", shown)
    assert results[-1][0] is True
    assert {next(word for word in argv if word in ("send-keys", "has-session", "capture-pane")) for argv in started} == {
        "send-keys", "has-session", "capture-pane",
    }  # fmt: skip
    assert asyncio.run(real.perform(lambda server: server.has_session("two"))) is False
    asyncio.run(real.perform(lambda server: server.kill()))
    assert asyncio.run(real.perform(lambda server: server.is_alive())) is False


def test_libtmuxs_own_failures_are_ours(real: Server) -> None:
    with pytest.raises(SystemFailure, match=r"cannot use tmux: .*can't find"):
        asyncio.run(real.perform(lambda server: server.kill_session("nobodys")))


@pytest.mark.parametrize("talk", ["yes", "cat /dev/zero", "sh -c 'yes >&2'", "sh -c 'yes & yes'"])
def test_endless_output_is_read_up_to_a_bound(folder: Path, talk: str) -> None:
    """The kernel refuses further writes, so the program ends by itself; `timeout` would end it with another code."""
    us = psutil.Process()
    before = us.memory_info().rss
    answer = ask(pretending(folder, f"timeout 2 {talk}"))
    assert answer.returncode == 1
    assert max(len("\n".join(lines).encode()) for lines in (answer.stdout, answer.stderr)) <= MAX_ANSWER
    assert us.memory_info().rss - before < 4 << 20


def test_output_up_to_the_bound_is_complete(folder: Path) -> None:
    fill = f"head -c {MAX_ANSWER} /dev/zero | tr '\\0' x; echo 2>/dev/null || exit 7"
    answer = ask(pretending(folder, fill))
    assert (answer.returncode, answer.stdout) == (7, ["x" * MAX_ANSWER])


@pytest.mark.parametrize(
    "hang", ["exec sleep 1000", "sleep 1000 & exec sleep 1000", "trap '' TERM HUP INT; sleep 1000; sleep 1000"]
)
def test_one_that_hangs_is_ended(folder: Path, hang: str) -> None:
    us = psutil.Process()
    before = set(us.children(recursive=True))
    with pytest.raises(SystemFailure, match="cannot wait for tmux: not done within"):
        ask(pretending(folder, hang), seconds=0.5)
    eventually("its processes have ended", lambda: not {c for c in us.children(recursive=True) if alive(c)} - before)


def alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def test_a_process_that_keeps_the_output_open_blocks_nothing(folder: Path) -> None:
    begun = folder / "run/codetainer/tmux/begun"
    answer = ask(
        pretending(folder, f"setsid sh -c 'echo $$ > {begun}; exec sleep 1000' & until [ -s {begun} ]; do :; done; echo 7")
    )
    os.kill(int(begun.read_text()), 9)
    assert answer.stdout == ["7"]


def test_a_call_that_is_cancelled_ends_its_process(folder: Path) -> None:
    begun = folder / "run/codetainer/tmux/begun"
    tmux = pretending(folder, f"echo $$ > {begun}; exec sleep 1000")

    async def begin_and_cancel() -> None:
        call = asyncio.create_task(tmux.perform(lambda server: server.kill()))
        await asyncio.to_thread(eventually, "it has begun", lambda: begun.exists() and begun.read_text())
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call

    asyncio.run(asyncio.wait_for(begin_and_cancel(), PATIENT))
    eventually("it has ended", lambda: not psutil.pid_exists(int(begun.read_text())))


@pytest.mark.parametrize(
    "garbage",
    ["head -c 4096 /dev/urandom", "printf '\\377\\376\\0\\033]0;x\\007'", "exit 127", "kill -SEGV $$"],
)
def test_garbage_is_an_ordinary_failure(folder: Path, garbage: str) -> None:
    answer = ask(pretending(folder, garbage))
    assert all(isinstance(line, str) for line in (*answer.stdout, *answer.stderr))
    for call in (lambda server: server.is_alive(), lambda server: server.has_session("x"), lambda server: server.kill()):
        with suppress(SystemFailure):
            asyncio.run(pretending(folder, garbage).perform(call))


def test_the_number_of_commands_in_a_call_is_limited(folder: Path) -> None:
    def endless(server: Server) -> None:
        while True:
            server.cmd("list-sessions")

    with pytest.raises(SystemFailure, match=f"more than {MAX_COMMANDS} commands"):
        asyncio.run(pretending(folder, "true").perform(endless))
    with pytest.raises(RuntimeError, match="the same commands each time"):
        asyncio.run(pretending(folder, "true").perform(lambda server: server.cmd(f"at-{time.monotonic_ns()}")))


def test_the_time_limit_applies_to_the_whole_call(folder: Path) -> None:
    tmux = pretending(folder, "sleep 0.3")
    with pytest.raises(SystemFailure, match="not done within"):
        asyncio.run(tmux.perform(lambda server: [server.cmd("list-sessions") for _ in range(10)], 1.0))


# --- no other way to start a process ---

FROM_THE_ENVIRONMENT = "from_env"  # creates libtmux's own server from an environment variable


def everything(server: Server) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yields each method and property of the server and its objects, with few arguments and with all."""
    things = [
        server, libtmux.Session(server=server, session_id="$0"), libtmux.Window(server=server, window_id="@0"),
        libtmux.Pane(server=server, pane_id="%0"), libtmux.Client(server=server, client_name="/dev/pts/0"),
    ]  # fmt: skip
    for thing in things:
        for name in dir(type(thing)):
            what = f"{type(thing).__name__}.{name}"
            if name in (FROM_THE_ENVIRONMENT, "perform") or (name.startswith("__") and name not in ("__enter__", "__exit__")):
                continue
            if not callable(getattr(type(thing), name)):
                yield what, lambda thing=thing, name=name: getattr(thing, name)  # type: ignore[misc]
                continue
            method = getattr(thing, name)
            for many in (False, True):
                given = arguments(method, server, many=many)
                yield what, lambda method=method, given=given: method(*given[0], **given[1])  # type: ignore[misc]


def arguments(method: Any, server: Server, *, many: bool) -> tuple[list[Any], dict[str, Any]]:
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(method).parameters.items():
        needed = parameter.default is parameter.empty
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or (not needed and not many):
            continue
        hint = str(parameter.annotation)
        value: Any = (
            server if name == "server" else True if "bool" in hint else 1 if "int" in hint and "str" not in hint else "x"
        )
        if name == "scope":
            value = libtmux.constants.OptionScope.Pane
        elif isinstance(parameter.default, enum.Enum):
            value = parameter.default
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[name] = value
        else:
            positional.append(value)
    return positional, named


@pytest.mark.parametrize("output", ["true", "echo %0", "echo '$0'; exit 1", "printf 'a=b\\n[0]\\n'"])
def test_there_is_no_other_way_to_a_process(folder: Path, started: list[list[str]], output: str) -> None:
    tmux = pretending(folder, f'echo "$@" >> {folder}/run/codetainer/tmux/asked; {output}')
    refused, reached = set(), set()
    with ExitStack() as quiet:
        quiet.enter_context(pytest.warns())  # about flags that need a newer tmux, and deprecated names
        for what, call in everything(tmux):
            before = len(started)
            with suppress(
                LibTmuxException, TypeError, ValueError, AssertionError, KeyError, AttributeError, IndexError, OSError
            ):
                try:
                    asyncio.run(tmux.perform(lambda _, call=call: call(), PATIENT))  # type: ignore[misc]
                except SystemFailure as failure:
                    if "it would start tmux itself" in str(failure):
                        refused.add(what)
            if len(started) > before:
                reached.add(what)
    ours = AGENT.wrap(["tmux", f"-S{tmux.socket_path}", f"-f{tmux.config_file}"])
    assert [argv for argv in started if argv[: len(ours)] != ours] == []
    assert {"Server.kill", "Server.has_session", "Pane.respawn", "Pane.capture_pane", "Window.rename_window"} <= reached
    assert {"Server.sessions", "Server.new_session", "Server.raise_if_dead", "Pane.refresh", "Session.windows"} <= refused
