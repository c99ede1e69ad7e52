"""`codetainer up`: runs a sandbox on this machine, made of namespaces, an overlay of the root, a network and `codetainer boot`.

Each process ends with its parent, and each other resource with a process. So nothing is left behind, however `up` ends.

Length: the life of one sandbox in order, from its creation to its end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from backend import commands, settings
from backend.commands import Observation, Outcome
from backend.contract.events import BootState
from backend.contract.paths import Paths
from backend.contract.state import State
from backend.contract.verbs import wrong
from backend.guard.nftables import NftError
from backend.sandbox import check, inputs, layout, learned_file, namespaces, networks, options, relay, terminal
from backend.sandbox.attended import Attended, NoFrontEnd
from backend.sandbox.courier import Courier
from backend.sandbox.enter import environment_for, terminal_variables
from backend.sandbox.exit_summary import ExitSummary
from backend.sandbox.first_process import POLL_SECONDS, STOP_SIGNALS, FirstProcess, close_on_exec
from backend.sandbox.followed_boot import FollowedBoot
from backend.sandbox.layout import Sources
from backend.sandbox.networks import Network
from backend.sandbox.options import Net, Options, Show
from backend.sandbox.output import Output
from backend.sandbox.outside import Outside
from backend.sandbox.own_commands import OwnCommands
from backend.sandbox.own_folder import Handed
from backend.sandbox.pretend.description import DescriptionError
from backend.sandbox.registry import DEFAULT_NAME, Beacon, NoSandbox
from backend.sandbox.relay import Command
from backend.settings.values import Debug, Learn
from backend.suspension.resumed import NotResumable
from backend.system import AGENT, ROOT, SYSTEM_PATH, SystemFailure, describe

END_SECONDS = 2.0  # in addition to the sandbox's own grace period
CHECKOUT = Path(__file__).parents[2]


class Stopped(Exception):
    """A signal asked `up` to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class PartFailed(Exception):
    """A part that the sandbox needs has ended."""


def main(argv: Sequence[str]) -> int:
    chosen = options.parse(argv)
    # Before this process joins a user namespace: what carries the connections of a user's sandbox is outside of it.
    outside = Outside() if os.geteuid() != 0 and chosen.net is Net.NAT else None
    lacking = check.missing(check.begin(chosen.net))
    if lacking:
        sys.stderr.write("codetainer: cannot start a sandbox on this machine\n" + check.table(lacking))
        return 1

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as set by nohup
            signal.signal(number, stop)
    try:
        return Up(chosen, outside).run()
    except (DescriptionError, settings.SettingsError) as error:
        sys.stderr.write(f"codetainer: {error}\n")
        return settings.EXIT_CODE
    except (PartFailed, NoSandbox, NftError) as error:
        sys.stderr.write(f"codetainer: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"codetainer: cannot start a sandbox: {describe(error)}\n")
        return 1
    except SystemFailure as error:
        sys.stderr.write(f"codetainer: {error}\n" + (f"  {error.hint}\n" if error.hint else ""))
        return settings.EXIT_CODE if isinstance(error, NotResumable) else 1
    except Stopped as stopped:
        return stopped.code


class Up:
    """One sandbox, from its creation until nothing of it is left."""

    def __init__(self, chosen: Options, outside: Outside | None) -> None:
        self._options = chosen
        self._outside = outside
        self._sandbox = FirstProcess("the sandbox")
        self._at_terminal = not chosen.command and chosen.show is not Show.LINES and terminal.is_interactive()
        self._network: Network | None = None
        self._progress_line = ""
        self._own = OwnCommands()
        self._work: Handed | None = None
        self._courier: Courier | None = None
        self._boot: Observation | None = None
        self._boot_failed = ""  # the error to print after boot's own output

    def run(self) -> int:
        inputs.require_files(self._options)
        network = networks.chosen(self._options, self._outside)
        environment, claude = inputs.read(self._options, network.environment)
        if self._options.name != DEFAULT_NAME:
            environment["CODETAINER_NAME"] = self._options.name
        if self._options.debug:
            environment["CODETAINER_DEBUG"] = Debug.ON.value
        if self._options.learn is not None and environment.get("CODETAINER_LEARN", "") != Learn.FORCE:
            environment["CODETAINER_LEARN"] = Learn.ON.value
        chosen = settings.load(environment, self._options.credentials)
        state = inputs.require_archives(self._options, chosen, environment)
        self._work = inputs.require_work(self._options, chosen)
        learned = learned_file.begin(self._options.learn) if chosen.learns else None
        drawn_on = self._at_terminal or (bool(self._options.command) and terminal.is_interactive())
        self._own.begin(chosen, drawn_on=drawn_on)
        sources = self._sources(network, claude, state)
        beacon = Beacon(self._options.name)
        output = self._output()
        if self._at_terminal:
            sys.stderr.write("codetainer: creating the sandbox\n")
        self._progress("codetainer: booting")
        try:
            self._network = network
            network.start()
            self._start(network, sources, output, environment)
            signal.signal(signal.SIGCHLD, self._check_network)
            self._check_network(0, None)
            if self._work is not None:
                self._courier = Courier(inputs.way_back(self._options, chosen, self._work))
                self._courier.start(self._sandbox.pid)  # before the thread of the beacon, because it forks
            beacon.begin(self._sandbox.pid)
            if self._options.command:
                return self._run_command(chosen.grace_seconds)
            if self._at_terminal:
                return self._attach(output)
            return self._sandbox.wait()
        finally:
            for number in (*STOP_SIGNALS, signal.SIGCHLD):
                # A second signal must not interrupt the shutdown. With SIGCHLD ignored, children could not be waited for.
                signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
            self._progress("")
            if self._at_terminal:
                sys.stderr.write("\r\x1b[Kcodetainer: stopping the sandbox\r")
                sys.stderr.flush()
            output.release()
            exit_summary = ExitSummary(self._paths.journal)
            if learned is not None:
                learned.hold(self._paths)
            if self._courier is not None:
                self._courier.finish()
            self._sandbox.end(chosen.grace_seconds + END_SECONDS)
            if self._boot is not None:
                self._boot.ended(Outcome(code=self._sandbox.ended()))
            network.end()
            output.finish()
            if self._boot_failed:
                sys.stderr.write(output.text() + self._boot_failed)
            beacon.close()
            if self._at_terminal:  # with Show.LINES, boot's own lines report it
                sys.stderr.write("\r\x1b[K" + exit_summary.text())
            if self._courier is not None:
                sys.stderr.write(self._courier.text())
            if learned is not None:
                sys.stderr.write(learned.write())
            self._own.show()

    # --- creation ---

    def _sources(self, network: Network, claude: Path | None, state: Path | None) -> Sources:
        coredns, confine, reader = (check.built(name) for name in ("coredns", "confine", "reader"))
        assert coredns is not None and confine is not None and reader is not None  # checked in main
        return Sources(
            coredns.resolve(),
            confine.resolve(),
            reader.resolve(),
            claude and claude.resolve(strict=True),
            (self._options.settings or layout.SHIPPED_SETTINGS).resolve(strict=True),
            (self._options.domains or CHECKOUT / "network/domains.conf").resolve(strict=True),
            self._options.credentials and self._options.credentials.resolve(strict=True),
            network.certificate,
            network.resolvers,
            self._options.resume and self._options.resume.resolve(strict=True),
            state and state.resolve(strict=True),
            None if self._work is None else self._work.bundle,
        )

    def _output(self) -> Output:
        if self._at_terminal:
            return Output.kept()
        if not self._options.command:
            return Output.shown(1, 2)
        return Output.held_back() if self._options.show is Show.DASHBOARD else Output.shown(2, 2)

    def _start(self, network: Network, sources: Sources, output: Output, environment: Mapping[str, str]) -> None:
        argv = ["tini", "-s", "--", "/usr/local/bin/codetainer", "boot", "--no-tui"]
        handed_over, files = inputs.handed_over(environment)
        if self._work is not None:
            files[Paths().work_branch.name] = self._work.branch
        variables = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", **terminal_variables(), **handed_over}
        waiting, go = os.pipe()
        started, starting = os.pipe()  # the kernel closes `starting` at the exec

        def first() -> None:
            """Builds the root, waits for the network, becomes tini."""
            os.close(go)  # while a write end is open here, the read below would not notice that `up` has ended
            layout.build(sources)
            layout.keep(inputs.HANDED_OVER, files)
            if os.read(waiting, 1) != b"g":
                return
            output.install()
            close_on_exec()
            os.execvpe("tini", argv, variables)

        try:
            self._sandbox.start(namespaces.SANDBOX, first)
            output.release()
            network.connect(self._sandbox.pid)
            self._print_login(network, environment)
            self._boot = commands.begin(argv, identity=ROOT.name, environment=variables, cwd="/")
            os.write(go, b"g")
            os.close(starting)
            starting = -1
            os.read(started, 1)  # before the exec, /proc/PID/environ would show this process's environment
        finally:
            for descriptor in {waiting, go, started, starting} - {-1}:
                os.close(descriptor)
            if self._work is not None:
                self._work.discard()  # the sandbox has mounted it

    def _print_login(self, network: Network, environment: Mapping[str, str]) -> None:
        """Prints how to log in over ssh, before the dashboard draws over the screen."""
        chosen = settings.load(environment, self._options.credentials)
        if chosen.ssh_keys:
            before, address = network.way_in(self._sandbox.pid)
            command = " ".join((*before, "ssh", "-p", str(chosen.ssh_port), f"root@{address}"))
            sys.stderr.write(f"codetainer: log in with {command}\n  Run codetainer ssh-config inside to print its host key.\n")

    def _check_network(self, _: int, __: FrameType | None) -> None:
        """Handles SIGCHLD: checks whether the network has failed. The sandbox's own process is waited for elsewhere."""
        if self._network is not None and (part := self._network.failed()):
            raise PartFailed(f"cannot continue: {part} has ended")

    # --- use ---

    def _progress(self, text: str) -> None:
        """Shows one line at the terminal while a COMMAND waits for boot. "" removes that line, but none of the command's."""
        shown = self._options.command and self._options.show is Show.DASHBOARD and not self._own.at_once
        if text != self._progress_line and shown and os.isatty(2):
            self._progress_line = text
            sys.stderr.write(f"\r\x1b[K{text}\r")
            sys.stderr.flush()

    def _run_command(self, grace: float) -> int:
        state = self._until_released()
        self._progress("")
        if state is None:
            self._boot_failed = "codetainer: boot ended before the session was ready\n"
            return self._sandbox.wait()
        if state.boot is BootState.HALTED:
            self._boot_failed = wrong(f"boot halted at {state.halted_step}: {state.reason}", state.remedy)
            return 1
        if state.boot is BootState.DEGRADED:
            sys.stderr.write(wrong(f"DEGRADED at {state.halted_step}: {state.reason}", state.remedy))
        identity = ROOT if self._options.as_root else AGENT
        folder = Paths().repository if state.cloned else Paths().workspace
        environment = environment_for(identity, self._sandbox.pid)
        command = Command(self._sandbox.pid, self._options.command, identity, environment, str(folder))
        with relay.reported(command) as outcome:
            outcome.code = relay.run(command, grace=grace)
        return outcome.code

    def _attach(self, output: Output) -> int:
        """Shows the dashboard and the session until the operator stops the sandbox."""
        while not self._paths.journal.exists():
            if (code := self._sandbox.ended()) is not None:
                sys.stderr.write(output.text())
                return code
            time.sleep(POLL_SECONDS)
        try:
            with terminal.titled(), terminal.raw():
                return Attended(self._sandbox, self._options.name, plain=self._options.show is Show.PLAIN).run()
        except NoFrontEnd:
            name = self._options.name
            sys.stderr.write(
                "codetainer: cannot show the dashboard; the sandbox keeps running until ctrl+c\n"
                f"  Run codetainer enter --name {name} --root -- attach-claude in another terminal to open it.\n"
            )
            return self._sandbox.wait()

    @property
    def _paths(self) -> Paths:
        return Paths(Path(f"/proc/{self._sandbox.pid}/root"))

    def _until_released(self) -> State | None:
        """Waits until the init lock is released and returns the sandbox's state; None if boot's process ended before."""
        boot = FollowedBoot(self._paths.journal)
        while True:
            ended = self._sandbox.ended() is not None
            if (state := boot.released()) is not None or ended:
                return state
            time.sleep(POLL_SECONDS)
