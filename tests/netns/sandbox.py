"""A booted sandbox for tests: `codetainer up` with the pretend internet, and ways to act as the agent, root or the operator.

Length: one class with everything that tests do with a sandbox.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libtmux
import psutil

from backend.contract.events import BootStarted, Event, LockReleased, ServiceChanged, ServiceState, Stamped, decode
from backend.contract.paths import Paths
from backend.contract.state import State, fold_all
from backend.sandbox import namespaces, registry
from backend.sandbox.enter import environment_for
from backend.sandbox.registry import NoSandbox
from backend.session import session
from backend.system import AGENT, ROOT, Identity

if TYPE_CHECKING:
    from tests.netns import rootless

CODETAINER = [sys.executable, "-I", "-m", "codetainer_tui.cli"]
UNTIL_WE_END = ["setpriv", "--pdeathsig", "TERM", "--"]  # stops the command when this process ends, even if it is killed
PATIENCE = 60.0  # seconds to wait for an expected event
IDLE = Path(__file__).with_name("idle")  # runs in place of Claude Code unless a test names another program

LISTED = """
github.com
api.github.com
api.anthropic.com
rotating.test
short.test:443,8443
wild.test
*.wild.test
alias.test
lying.test
private.test
metadata.test
plain.test:80
"""

SHORT = Path(__file__).with_name("domains.conf")  # the shipped allowlist's commands for package registries take seconds

INTERNET = """
resolver = "203.0.113.53"
others = "198.51.100.200"
git = { host = "github.com", repository = "example/demo" }
api = { host = "api.anthropic.com" }
name = [
  { name = "github.com", addresses = ["198.51.100.10"] },
  { name = "api.anthropic.com", addresses = ["198.51.100.20"] },
  { name = "rotating.test", rotate = "198.51.100.64/26", ttl = 0 },
  { name = "short.test", addresses = ["198.51.100.31"], ttl = 1 },
  { name = "wild.test", addresses = ["198.51.100.32"] },
  { name = "alias.test", cname = "target.elsewhere.test" },
  { name = "target.elsewhere.test", addresses = ["198.51.100.33"] },
  { name = "lying.test", addresses = ["127.0.0.1", "10.0.0.7", "198.51.100.34"] },
  { name = "private.test", addresses = ["192.168.7.7"] },
  { name = "metadata.test", addresses = ["169.254.169.254"] },
  { name = "plain.test", addresses = ["198.51.100.35"] },
  { name = "unlisted.test", addresses = ["198.51.100.40"] },
]
"""

STARTED: list[Running] = []  # by this process, in order; tests/conftest.py adds their journals to failure reports


def eventually(what: str, holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Waits until `holds` returns a true value and returns it. Fails with the text `what` after `seconds`.

    Pauses twice as long as the last call took, so that expensive calls do not compete with what they wait for.
    """
    asked = time.monotonic()
    deadline = asked + seconds
    while not (value := holds()):
        answered = time.monotonic()
        if answered > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(min(max(2 * (answered - asked), 0.02), 0.5))
        asked = time.monotonic()
    return value


class JournalReader:
    """A journal's events and state. Reads and folds only what is new, because tests poll many times a second."""

    def __init__(self) -> None:
        self._restart(0)

    def _restart(self, inode: int) -> None:
        self._inode, self._offset, self._folded = inode, 0, 0
        self._stamped: list[Stamped] = []
        self._state = State()

    def stamped(self, journal: Path) -> list[Stamped]:
        with journal.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._offset:
                self._restart(status.st_ino)
            file.seek(self._offset)
            lines, newline, _ = file.read().rpartition(b"\n")
        whole = lines + newline
        self._stamped += [decode(line) for line in whole.decode().splitlines(keepends=True)]
        self._offset += len(whole)
        return list(self._stamped)

    def state(self, journal: Path) -> State:
        stamped = self.stamped(journal)
        self._state = fold_all(stamped[self._folded :], self._state)
        self._folded = len(stamped)
        return self._state


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox that runs until the test ends."""

    name: str
    process: subprocess.Popen[str]
    init: int
    seen: Path  # the pretend internet's log
    operator: Callable[..., list[str]] = lambda *argv: list(argv)  # the command that runs `argv` as the operator
    _reader: JournalReader = field(default_factory=JournalReader, repr=False, compare=False)

    def __post_init__(self) -> None:
        STARTED.append(self)

    @property
    def paths(self) -> Paths:
        return Paths(Path(f"/proc/{self.init}/root"))

    def stamped(self) -> list[Stamped]:
        return self._reader.stamped(self.paths.journal)

    def events(self, kind: type[Event] = Event) -> list[Any]:
        return [stamped.event for stamped in self.stamped() if isinstance(stamped.event, kind)]

    @property
    def state(self) -> State:
        return self._reader.state(self.paths.journal)

    def agent(self, *argv: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        return self._run(AGENT, argv, seconds)

    def root(self, *argv: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        return self._run(ROOT, argv, seconds)

    def codetainer(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Runs a verb as root inside the sandbox."""
        return self.root("codetainer", *argv)

    def python(self, code: str, *arguments: object, root: bool = False) -> Any:
        """Runs Python code in the sandbox, by default as the agent. Returns the JSON value that it prints."""
        run = self.root if root else self.agent
        done = run("/usr/bin/python3", "-I", "-S", "-c", code, *map(str, arguments))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def pid(self, service: str) -> int:
        """Returns a service's pid in this machine's namespace. Waits for the service if it is being started."""

        def first_match() -> int:
            number = self.state.services[service].pid if service in self.state.services else 0
            return next((p.pid for p in self.processes() if number and number_inside(p) == number), 0)

        return int(eventually(f"a process of {service}", first_match))

    def processes(self) -> list[psutil.Process]:
        """Returns the descendants of the sandbox's first process, without zombies."""
        ended = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        running = []
        for process in psutil.Process(self.init).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() not in ended:
                    running.append(process)
        return running

    @property
    def tmux(self) -> libtmux.Server:
        """The session's tmux server. libtmux runs tmux as the agent through a script that enters the sandbox."""
        return tmux_through(self.seen.with_name("tmux"), *self.called(AGENT, "tmux"))

    @property
    def pane(self) -> libtmux.Pane:
        """The agent's pane."""
        return self.tmux.sessions[0].windows[0].panes[0]

    def screen(self) -> str:
        """Returns the text in the agent's pane, "" without a session. Runs tmux once; to find the pane takes three times."""
        return "\n".join(self.tmux.cmd("capture-pane", "-p", "-t", f"={session.NAME}:").stdout)

    def kill(self, service: str) -> int:
        """Kills a service. Returns the number of the last event before that, for `came_back`."""
        pid, before = self.pid(service), self.stamped()[-1].seq
        os.kill(pid, signal.SIGKILL)
        return before

    def came_back(self, service: str, since: int) -> int:
        """Returns the number of the event that reports the service up again after a failure later than event `since`.

        0 if there is none yet. The event's count of restarts is no substitute, because it is reset after a while.
        """
        fell = False
        for stamped in self.stamped():
            if isinstance(changed := stamped.event, ServiceChanged) and changed.service == service and stamped.seq > since:
                fell = fell or changed.state is ServiceState.DOWN
                if fell and changed.state is ServiceState.UP:
                    return stamped.seq
        return 0

    def asked(self, **values: str) -> int:
        """Counts the lines of the pretend internet's log that have these values."""
        whole = self.seen.read_text().rpartition("\n")[0] if self.seen.exists() else ""  # the last line may be being written
        lines = [json.loads(line) for line in whole.splitlines()]
        return sum(all(line.get(key) == value for key, value in values.items()) for line in lines)

    def command(self, identity: Identity, *argv: str) -> list[str]:
        """Returns the argument list that runs a command in the sandbox as the agent or root, through `codetainer enter`."""
        return self.operator(*CODETAINER, "enter", "--name", self.name, *(["--root"] if identity is ROOT else []), "--", *argv)

    def called(self, identity: Identity, *argv: str) -> tuple[list[str], dict[str, str] | None]:
        """Like `command`, with its environment, but through nsenter: that is faster because it does not start Python."""
        into = [*namespaces.nsenter(self.init), f"--wdns={'/' if identity is ROOT else '/workspace'}", "--"]
        return [*into, *identity.wrap(argv)], environment_for(identity, self.init)

    def called_as_agent(self, *argv: str) -> tuple[list[str], dict[str, str] | None]:
        return self.called(AGENT, *argv)

    def _run(self, identity: Identity, argv: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        command, environment = self.called(identity, *argv)
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=environment,
            start_new_session=True,
            umask=0o022,
        )

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


def start(
    folder: Path,
    name: str,
    *options: str,
    internet: str = INTERNET,
    listed: str = LISTED,
    until_released: bool = True,
    **environment: str,
) -> Running:
    """Starts a sandbox. Returns when its init lock is released."""
    return start_as(
        None, folder, name, *options, internet=internet, listed=listed, until_released=until_released, **environment
    )


def start_as(
    user: rootless.User | None,
    folder: Path,
    name: str,
    *options: str,
    internet: str = INTERNET,
    listed: str = LISTED,
    until_released: bool = True,
    **environment: str,
) -> Running:
    """`start` as root or, with `user`, as an ordinary user."""
    (folder / "internet.toml").write_text(internet)
    (folder / "domains.conf").write_text(listed)
    seen = folder / "seen.jsonl"
    up = [
        *UNTIL_WE_END, *CODETAINER, "up", "--net", "pretend", "--pretend", str(folder / "internet.toml"), "--pretend-log",
        str(seen), "--domains", str(folder / "domains.conf"), "--claude", str(IDLE), "--name", name, "--no-tui", *options,
    ]  # fmt: skip
    process = subprocess.Popen(
        up if user is None else user.called(*up),
        stdin=subprocess.DEVNULL, stdout=(folder / "out").open("w"), stderr=(folder / "err").open("w"), text=True,
        env={**os.environ, **environment},
    )  # fmt: skip

    def first_process() -> int:
        assert process.poll() is None, (folder / "err").read_text() + (folder / "out").read_text()
        if user is not None:
            return user.find(name)
        try:
            return registry.find(name)
        except NoSandbox:
            return 0

    init = eventually(f"{name} runs", first_process)
    running = Running(name, process, init, seen, user.called) if user else Running(name, process, init, seen)
    if until_released:
        eventually("the init lock is released", lambda: running.paths.journal.exists() and running.events(LockReleased))
    return running


def stopped_in_boot(
    begin: Callable[[], Running], late: Callable[[Running], Any] = lambda sandbox: sandbox.events(LockReleased)
) -> tuple[Running, int]:
    """Starts a sandbox and stops its boot process (SIGSTOP). Returns the sandbox and the pid of the boot process.

    On a busy machine boot may have gone too far before it is stopped: if `late` is true (by default: boot has finished), starts
    another sandbox.
    """
    for _ in range(5):
        sandbox = begin()
        eventually("boot has begun", lambda: sandbox.paths.journal.exists() and sandbox.events(BootStarted))  # noqa: B023
        boot = backend_of(sandbox)
        os.kill(boot, signal.SIGSTOP)
        eventually("it is stopped", lambda: "\nState:\tT" in Path(f"/proc/{boot}/status").read_text())  # noqa: B023
        if not late(sandbox):
            return sandbox, boot
        os.kill(boot, signal.SIGCONT)
        sandbox.stop()
    raise AssertionError("boot was too fast each time")


def tmux_through(script: Path, command: Sequence[str], environment: Mapping[str, str] | None) -> libtmux.Server:
    """Returns a sandbox's tmux server. libtmux takes a path without arguments, so this writes a script with the command."""
    clean = [] if environment is None else ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    if not script.exists():
        script.write_text(f'#!/bin/sh\nexec {shlex.join([*clean, *command])} "$@"\n')
        script.chmod(0o755)
    return libtmux.Server(socket_path=Paths().tmux_socket, tmux_bin=script)


def number_inside(process: psutil.Process) -> int:
    """Returns a process's pid in its own PID namespace (proc(5), NSpid); 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return int(next(line for line in lines if line.startswith("NSpid:")).split()[-1])


def children(pid: int) -> list[int]:
    """Returns the pids of a process's children; none if it has ended."""
    try:
        return [process.pid for process in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def backend_of(sandbox: Running) -> int:
    """Returns the pid of the boot process on this machine."""
    return process_of(sandbox, lambda process: process.cmdline()[-2:] == ["backend", "boot"]).pid


def process_of(sandbox: Running, matches: Callable[[psutil.Process], bool]) -> psutil.Process:
    """Returns the first process of a sandbox that matches. Others may end while they are looked at."""
    for process in sandbox.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if matches(process):
                return process
    raise AssertionError("there is no such process")


Begin = Callable[..., Running]  # `start`, or its counterpart for a container (tests/image/container.py)
