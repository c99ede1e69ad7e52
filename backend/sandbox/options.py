"""The command line of `codetainer up`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from backend.contract.command_line import Parser
from backend.contract.immutable import dataclass
from backend.contract.verbs import BACKEND_VERBS
from backend.sandbox.learned_file import DEFAULT as LEARNED
from backend.sandbox.registry import DEFAULT_NAME, NAME


class Net(StrEnum):
    PRETEND = "pretend"
    NAT = "nat"
    NONE = "none"


class Show(StrEnum):
    """The output of `up` during boot."""

    DASHBOARD = "dashboard"
    PLAIN = "plain"  # text lines, then the session
    LINES = "lines"  # text lines, never the session


@dataclass(frozen=True, slots=True)
class Options:
    net: Net
    pretend: Path | None
    pretend_log: Path | None
    domains: Path | None
    credentials: Path | None
    claude: Path | None
    settings: Path | None
    resume: Path | None
    name: str
    show: Show
    as_root: bool
    command: tuple[str, ...]
    debug: bool
    learn: Path | None
    work: Path | None = None
    no_work: bool = False


def sandbox_name(text: str) -> str:
    """Checks a sandbox's name, the value of `--name`. Raises ArgumentTypeError."""
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"invalid name {text[:80]!a}: expected up to 64 letters, digits, dots, - and _, beginning with a letter or digit"
        )
    return text


def parse(argv: Sequence[str]) -> Options:
    """Parses the arguments. Exits with code 2 and a message if they are invalid, with 0 after --help."""
    at = argv.index("--") if "--" in argv else len(argv)
    own, command = argv[:at], tuple(argv[at + 1 :])
    parser = Parser(
        prog="codetainer up", usage="%(prog)s [options] [-- COMMAND ...]",
        description=BACKEND_VERBS["up"],
    )  # fmt: skip
    parser.add_argument("--net", choices=[net.value for net in Net], default=Net.NAT.value,
                        help="connect to a pretend internet, this machine's or none (default: %(default)s)")  # fmt: skip
    parser.add_argument("--pretend", type=Path, metavar="FILE", help="read the pretend internet's description (TOML)")
    parser.add_argument("--pretend-log", type=Path, metavar="FILE",
                        help="log requests to the pretend internet as JSON lines; - for stderr")  # fmt: skip
    parser.add_argument("--domains", type=Path, metavar="FILE", help="use this allowlist instead of the shipped domains.conf")
    parser.add_argument("--credentials", type=Path, metavar="FILE", help="add hosts and credentials (docs/configuration.md)")
    parser.add_argument("--claude", type=Path, metavar="FILE",
                        help="run this Claude Code (default: this machine's, with --net pretend else a stand-in)")  # fmt: skip
    parser.add_argument("--settings", type=Path, metavar="FILE",
                        help="use these settings for Claude Code, with skills/ and CLAUDE.md beside them")  # fmt: skip
    parser.add_argument("--learn", type=Path, nargs="?", const=LEARNED, metavar="FILE",
                        help="learning run: open public names when they are asked for, and write an allowlist of what was used "
                        f"to a new FILE ({LEARNED})")  # fmt: skip
    parser.add_argument("--resume", type=Path, metavar="FILE", help="begin with the work in this archive of codetainer suspend")
    parser.add_argument("--work", type=Path, metavar="DIR",
                        help="clone the git repository in this folder instead of REPO_URL, and bring the agent's commits back "
                        "(default with --net nat, without REPO_URL: the repository that you are in)")  # fmt: skip
    parser.add_argument("--no-work", action="store_true", help="begin without a repository of this machine")
    parser.add_argument("--name", type=sandbox_name, default=DEFAULT_NAME,
                        help="set the name for codetainer enter (default: %(default)s)")  # fmt: skip
    parser.add_argument("--no-tui", action="store_true", help="print one line per event, until a signal or COMMAND ends it")
    parser.add_argument("--plain", action="store_true", help="print text lines instead of the dashboard")
    parser.add_argument("--root-command", action="store_true", help="run COMMAND as root")
    parser.add_argument("--debug", action="store_true",
                        help="log every command that is run; those of up go to stderr (also CODETAINER_DEBUG=on)")  # fmt: skip
    arguments = parser.parse_args(own)
    net = Net(arguments.net)
    for name in ("pretend", "pretend_log"):
        if getattr(arguments, name) and net is not Net.PRETEND:
            parser.error(f"--{name.replace('_', '-')} needs --net pretend")
    if arguments.work and arguments.resume:
        parser.error("--work and --resume exclude each other: suspended work has its own clone")
    if arguments.work and arguments.no_work:
        parser.error("--work and --no-work exclude each other")
    if "--" in argv and not command:
        parser.error("expected a COMMAND after --")
    if arguments.root_command and not command:
        parser.error("--root-command needs -- COMMAND")
    show = Show.LINES if arguments.no_tui else Show.PLAIN if arguments.plain else Show.DASHBOARD
    return Options(
        net,
        arguments.pretend,
        arguments.pretend_log,
        arguments.domains,
        arguments.credentials,
        arguments.claude,
        arguments.settings,
        arguments.resume,
        arguments.name,
        show,
        arguments.root_command,
        command,
        arguments.debug,
        arguments.learn,
        arguments.work,
        arguments.no_work,
    )
