"""The command line of `codetainer up`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from backend.contract.command_line import Parser
from backend.sandbox.registry import NAME


class Net(StrEnum):
    PRETEND = "pretend"
    NAT = "nat"
    NONE = "none"


class Show(StrEnum):
    """What the terminal shows while boot is under way."""

    DASHBOARD = "dashboard"
    PLAIN = "plain"  # text lines, then the session
    LINES = "lines"  # text lines, and never a session


@dataclass(frozen=True, slots=True)
class Options:
    net: Net
    pretend: Path | None
    pretend_log: Path | None
    domains: Path | None
    credentials: Path | None
    claude: Path | None
    settings: Path | None
    name: str
    show: Show
    as_root: bool
    command: tuple[str, ...]
    debug: bool


def sandbox_name(text: str) -> str:
    """A sandbox's name as `--name` takes it. Raises ArgumentTypeError."""
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text[:80]!a} is no name: expected up to 64 letters, digits, dots, - and _, the first a letter or a digit"
        )
    return text


def parse(argv: Sequence[str]) -> Options:
    """Reads the arguments. Exits with code 2 and a message where they are wrong, with 0 after --help."""
    at = argv.index("--") if "--" in argv else len(argv)
    own, command = argv[:at], tuple(argv[at + 1 :])
    parser = Parser(
        prog="codetainer up", usage="%(prog)s [options] [-- COMMAND ...]",
        description="Boot a sandbox in namespaces of this machine. On a terminal it shows the dashboard, then the session; "
        "ctrl+b d returns to the dashboard. q on the dashboard stops the sandbox, after showing unsaved work and asking. "
        "A signal, or closing the terminal, stops it without asking. "
        "With a COMMAND it runs that as the agent and exits with its code, and says nothing of its own unless boot fails. "
        "Afterwards nothing is left.",
    )  # fmt: skip
    parser.add_argument("--net", choices=[net.value for net in Net], default=Net.NAT.value,
                        help="an internet of its own, this machine's, or none (default: %(default)s)")  # fmt: skip
    parser.add_argument("--pretend", type=Path, metavar="FILE", help="describes the pretend internet (TOML)")
    parser.add_argument("--pretend-log", type=Path, metavar="FILE",
                        help="where the pretend internet writes what it was asked, as JSON lines; - for stderr")  # fmt: skip
    parser.add_argument("--domains", type=Path, metavar="FILE", help="a list in place of the shipped domains.conf")
    parser.add_argument("--credentials", type=Path, metavar="FILE", help="more hosts and credentials (docs/configuration.md)")
    parser.add_argument("--claude", type=Path, metavar="FILE",
                        help="Claude Code's program (default: this machine's, with --net pretend else a stand-in)")  # fmt: skip
    parser.add_argument("--settings", type=Path, metavar="FILE",
                        help="Claude Code's settings; skills/ and CLAUDE.md beside it are taken along")  # fmt: skip
    parser.add_argument("--name", type=sandbox_name, default="sandbox", help="for codetainer enter (default: %(default)s)")
    parser.add_argument("--no-tui", action="store_true", help="one line an event, until a signal or COMMAND ends it")
    parser.add_argument("--plain", action="store_true", help="text lines instead of the dashboard")
    parser.add_argument("--root-command", action="store_true", help="run COMMAND as root")
    parser.add_argument("--debug", action="store_true",
                        help="log every command that is run, this one's own on stderr (also CODETAINER_DEBUG=on)")  # fmt: skip
    found = parser.parse_args(own)
    net = Net(found.net)
    for name in ("pretend", "pretend_log"):
        if getattr(found, name) and net is not Net.PRETEND:
            parser.error(f"--{name.replace('_', '-')} goes with --net pretend")
    if "--" in argv and not command:
        parser.error("a COMMAND is expected after --")
    if found.root_command and not command:
        parser.error("--root-command goes with -- COMMAND")
    show = Show.LINES if found.no_tui else Show.PLAIN if found.plain else Show.DASHBOARD
    return Options(
        net,
        found.pretend,
        found.pretend_log,
        found.domains,
        found.credentials,
        found.claude,
        found.settings,
        found.name,
        show,
        found.root_command,
        command,
        found.debug,
    )
