"""`codetainer up`: a sandbox on this machine. Namespaces, an overlay of its root, a network, and `codetainer boot` in them.

Every process is tied to its parent's life and everything else to a process's: whatever ends `up`, nothing is left.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from backend import settings, system
from backend.boot.steps.rules import nameservers
from backend.contract import events
from backend.contract.events import BootState, LockReleased
from backend.contract.paths import Paths
from backend.contract.state import State, fold
from backend.sandbox import check, layout, namespaces, relay
from backend.sandbox.enter import PASSED_ON, environment_for
from backend.sandbox.layout import Sources
from backend.sandbox.nat import Nat
from backend.sandbox.pretend import description as pretend_description
from backend.sandbox.pretend import process as pretend
from backend.sandbox.pretend.certificates import Authority
from backend.sandbox.pretend.description import Description, DescriptionError
from backend.sandbox.rendezvous import Beacon, NoSandbox
from backend.system import AGENT, ROOT, SYSTEM_PATH, SystemFailure
from network.allowlist import AllowlistError

POLL_SECONDS = 0.02
STOP_SECONDS = 8.0
ROOT_FOLDER = Path(__file__).parents[2]
DUMMIES = {"GH_PAT": "ghp_pretend", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-pretend"}


class Stopped(Exception):
    """A signal has asked `up` to end."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    own, command = (list(argv[: argv.index("--")]), list(argv[argv.index("--") + 1 :])) if "--" in argv else (list(argv), [])
    parser = argparse.ArgumentParser(
        prog="codetainer up", usage="%(prog)s [options] [-- COMMAND ...]",
        description="Boot a sandbox in namespaces of this machine. On a terminal it shows the dashboard, then the session; "
        "with a COMMAND it runs that as the agent and exits with its code. Afterwards nothing is left.",
    )  # fmt: skip
    parser.add_argument("--net", choices=("pretend", "nat", "none"), default="nat",
                        help="an internet of its own, this machine's, or none (default: %(default)s)")  # fmt: skip
    parser.add_argument("--pretend", type=Path, metavar="FILE", help="describes the pretend internet (TOML)")
    parser.add_argument("--pretend-log", type=Path, metavar="FILE", help="where the pretend internet writes what it saw")
    parser.add_argument("--domains", type=Path, metavar="FILE", help="a list in place of the shipped domains.conf")
    parser.add_argument(
        "--claude", type=Path, metavar="FILE", help="Claude Code's program (default: this machine's, or a stand-in)"
    )
    parser.add_argument("--name", default="sandbox", help="for codetainer enter (default: %(default)s)")
    parser.add_argument("--no-tui", action="store_true", help="one line an event, until a signal ends it")
    parser.add_argument("--plain", action="store_true", help="text lines instead of the dashboard")
    parser.add_argument("--root-command", action="store_true", help="run COMMAND as root")
    options = parser.parse_args(own)
    options.command = command
    if options.pretend and options.net != "pretend":
        parser.error("--pretend goes with --net pretend")
    return options


def main(argv: Sequence[str]) -> int:
    options = arguments(argv)
    lacking = check.missing(check.requirements())
    if lacking:
        sys.stderr.write("codetainer: cannot start a sandbox on this machine\n" + check.table(lacking))
        return 1

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return Up(options).run()
    except (DescriptionError, NoSandbox, SystemFailure, AllowlistError, OSError) as error:
        sys.stderr.write(f"codetainer: {error}\n")
        return 1
    except settings.SettingsError as error:
        sys.stderr.write(f"codetainer: {error}\n")
        return settings.EXIT_CODE
    except Stopped as stopped:
        return 128 + signal.Signals[str(stopped)].value


@dataclass(frozen=True, slots=True)
class Internet:
    """What the sandbox's network brings along."""

    environment: Mapping[str, str]
    resolvers: tuple[str, ...]
    description: Description | None = None
    authority: Authority | None = None


class Up:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._child = self._init = self._pretend = self._code = 0
        self._interactive = not options.command and not options.no_tui and not options.plain and relay.on_terminal()

    def run(self) -> int:
        internet = self._internet()
        environment = {**internet.environment, **settings.variables(settings.environment())}
        settings.load(environment)  # everything wrong is said before anything is made
        beacon = Beacon(self._options.name)
        try:
            self._start(internet, environment)
            beacon.begin(self._init)
            if self._options.command:
                return self._run_command()
            if self._interactive:
                return self._attach()
            return self._wait_for_boot_process()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # once is enough: taking down is not to be broken off
            self._take_down()
            beacon.close()

    # --- making it ---

    def _internet(self) -> Internet:
        if self._options.net == "none":
            return Internet({"CODETAINER_UPSTREAM": "192.0.2.53"}, ())
        if self._options.net == "nat":
            return Internet({}, nameservers(Paths(Path("/")), keep=False))
        described = pretend_description.load(self._options.pretend or pretend_description.SHIPPED)
        environment = {**DUMMIES, "CODETAINER_UPSTREAM": described.resolver}
        if described.repo_url:
            environment["REPO_URL"] = described.repo_url
        return Internet(environment, (described.resolver,), described, Authority())

    def _start(self, internet: Internet, environment: Mapping[str, str]) -> None:
        if internet.description is not None and internet.authority is not None:
            record = -1
            if self._options.pretend_log:
                record = os.open(self._options.pretend_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._pretend = pretend.start(internet.description, record, internet.authority)
        sources = self._sources(internet)
        self._fork(sources, environment)
        if self._pretend:
            pretend.connect(self._pretend, self._init)
        elif self._options.net == "nat":
            self._nat = Nat(self._init)
        else:
            system.run(["nsenter", f"--net=/proc/{self._init}/ns/net", "--", "ip", "link", "set", "lo", "up"])
        os.write(self._go, b"g")
        os.close(self._go)

    def _sources(self, internet: Internet) -> Sources:
        coredns = check.coredns()
        assert coredns is not None  # it was required
        settings_file = ROOT_FOLDER / layout.SETTINGS
        claude = self._options.claude or _claude() or Path(__file__).parent / "stand_in"
        return Sources(
            coredns.resolve(),
            claude.resolve(strict=True),
            settings_file,
            (self._options.domains or ROOT_FOLDER / "network/domains.conf").resolve(strict=True),
            internet.authority.pem if internet.authority else b"",
            tuple(("resolver", address) for address in internet.resolvers),
        )

    def _fork(self, sources: Sources, environment: Mapping[str, str]) -> None:
        """Two processes: one that makes the namespaces and waits, and the first process in them."""
        parent = os.getpid()
        go_reading, self._go = os.pipe()
        pid_reading, pid_writing = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            code = 1
            try:
                os.close(self._go)
                namespaces.die_with_parent(parent)
                os.setsid()
                namespaces.unshare(namespaces.SANDBOX)
                middle = os.getpid()
                inner = os.fork()
                if inner == 0:
                    os.close(pid_writing)
                    self._first(middle, go_reading, sources, environment)
                os.write(pid_writing, str(inner).encode())
                os.close(pid_writing)
                _, status = os.waitpid(inner, 0)
                code = os.waitstatus_to_exitcode(status)
                code = 128 - code if code < 0 else code
            except OSError as error:
                os.write(2, f"codetainer: {error}\n".encode())
            finally:
                os._exit(code)
        os.close(go_reading)
        os.close(pid_writing)
        with os.fdopen(pid_reading, "rb") as pipe:
            text = pipe.read()
        if not text:
            raise OSError("cannot make the sandbox's namespaces")
        self._init = int(text)

    def _first(self, parent: int, go: int, sources: Sources, environment: Mapping[str, str]) -> None:
        """The first process in the pid namespace: makes the root, waits for the network, becomes tini."""
        try:
            # getppid() is 0 here: the parent is outside the namespace. The middle process waits for us, so it lives.
            namespaces.die_with_parent(0)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            socket.sethostname("codetainer")
            layout.build(sources)
            if os.read(go, 1) != b"g":
                os._exit(1)
            os.dup2(os.open("/dev/null", os.O_RDWR), 0)
            if self._interactive:
                os.dup2(0, 1)
            elif self._options.command:
                os.dup2(2, 1)
            given = {name: value for name, value in settings.environment().items() if name in PASSED_ON}
            argv = ["tini", "-s", "--", "/usr/local/bin/codetainer", "boot", "--no-tui"]
            os.closerange(3, 1024)
            os.execvpe("tini", argv, {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", **given, **environment})
        except BaseException as error:
            os.write(2, f"codetainer: cannot make the sandbox: {error}\n".encode())
        finally:
            os._exit(1)

    # --- using it ---

    def _run_command(self) -> int:
        state = self._until_released()
        if state is None:
            return self._wait_for_boot_process()
        if state.boot is BootState.HALTED:
            sys.stderr.write(f"codetainer: boot halted at {state.halted_step}: {state.reason}\n")
            if state.remedy:
                sys.stderr.write(f"  {state.remedy}\n")
            return 1
        identity = ROOT if self._options.root_command else AGENT
        cloned = state.steps.get("clone")
        folder = "/workspace/repo" if cloned and cloned.outcome is events.Outcome.DONE else "/workspace"
        return relay.run(self._init, self._options.command, identity, environment_for(identity), folder)

    def _attach(self) -> int:
        """The login, as over `docker exec -it NAME attach-claude`; when it ends the sandbox does."""
        deadline = time.monotonic() + STOP_SECONDS
        while not Path(f"/proc/{self._init}/root/run/codetainer/events.jsonl").exists():
            if self._ended() is not None or time.monotonic() > deadline:
                return self._wait_for_boot_process()
            time.sleep(POLL_SECONDS)
        return relay.run(self._init, ["/usr/local/bin/attach-claude"], ROOT, environment_for(ROOT), "/")

    def _until_released(self) -> State | None:
        """The sandbox's state when its init lock is released; None where its boot process ended before."""
        journal = Path(f"/proc/{self._init}/root/run/codetainer/events.jsonl")
        state, read = State(), 0
        while True:
            ended = self._ended() is not None
            if journal.exists():
                with journal.open("rb") as file:
                    file.seek(read)
                    for line in file:
                        if not line.endswith(b"\n"):
                            break
                        read += len(line)
                        stamped = events.decode(line.decode())
                        state = fold(state, stamped)
                        if isinstance(stamped.event, LockReleased):
                            return state
            if ended:
                return None
            time.sleep(POLL_SECONDS)

    def _ended(self) -> int | None:
        if not self._child:
            return self._code
        found, status = os.waitpid(self._child, os.WNOHANG)
        if not found:
            return None
        self._child = 0
        code = os.waitstatus_to_exitcode(status)
        self._code = 128 - code if code < 0 else code
        return self._code

    def _wait_for_boot_process(self) -> int:
        while (code := self._ended()) is None:
            time.sleep(POLL_SECONDS)
        return code

    # --- taking it down ---

    def _take_down(self) -> None:
        """Asks boot to end, and then ends every process: with the last one the kernel takes the rest."""
        if self._init and self._ended() is None:
            os.kill(self._init, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while self._ended() is None and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            if self._ended() is None:
                os.kill(self._init, signal.SIGKILL)
                self._wait_for_boot_process()
        if self._pretend:
            os.kill(self._pretend, signal.SIGKILL)
            os.waitpid(self._pretend, 0)


def _claude() -> Path | None:
    """Claude Code as this machine has it."""
    found = shutil.which("claude")
    return Path(found) if found else None
