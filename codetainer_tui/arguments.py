"""The command line of `codetainer`: every verb but those that the backend parses itself."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from backend.contract import durations
from backend.contract.command_line import Parser

OVERVIEW = """\
usage: codetainer VERB [options]        codetainer VERB --help says more; codetainer --version

a sandbox
  up         boot a sandbox on this machine, in namespaces of its own
  enter      a shell, or a command, in one that runs
  check      what this machine lacks for one, what for, and how to get it
  boot       boot in place, as a container does

inside
  status     how it is, in words; 0 well, 1 degraded, 2 closed or failed
  dashboard  the screen; also plays a recorded journal
  attach     the session, or the dashboard while boot is under way
  logs       the journal as text
  allowed    which names are open, and where each comes from
  explain    what would happen to a name or an address, and which line decides
  traffic    what was carried, by name
  suggest    lines for domains.conf, made from what was refused
  export     what is only here, as a git bundle: ssh HOST codetainer export > work.bundle
  metrics    how it is, as Prometheus reads it (OpenMetrics)
  ssh-config the entry for ~/.ssh/config to log in here, and the host key

inside, for the operator (root)
  as-agent   a command, or a shell, as the agent: for work on its files
  allow      open a name now, for a time or until revoked
  revoke     close it again, and cut what it carries
  work       count unsaved work now
  save       push it to a branch wip/... now, and again when the sandbox stops
  mute       count a name's refusals without showing them
  acknowledge  print the serious refusals, and say that you have seen them
  refresh    resolve every listed name again, now
  freeze     stop the agent and close every address
  thaw       let it go on
  retry      boot again after a halt, or try again the steps that failed
  session    session restart: start the agent's session anew
"""


def parser() -> argparse.ArgumentParser:
    """Its result has `verb` and what that verb takes. What is wrong ends with exit code 2."""
    top = Parser(prog="codetainer", add_help=False, usage="codetainer VERB [options]")
    verbs = top.add_subparsers(metavar="VERB", required=True, parser_class=Parser)

    def verb(name: str, says: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, description=says, prog=f"codetainer {name}")
        made.set_defaults(verb=name)
        return made

    v = verb("boot", "Boot this container's sandbox and keep it running. On a terminal it shows the dashboard.")
    v.add_argument("--no-tui", action="store_true", help="one plain line an event on stdout, no dashboard")
    v.add_argument("--plain", action="store_true", help="on a terminal: text lines instead of the dashboard")
    v.add_argument("--json", action="store_true", help="with --no-tui: journal lines (also CODETAINER_LOG_FORMAT=json)")
    v.add_argument("--on-failure", choices=("exit", "hold"), help="after a halt: exit with code 1, or hold it for inspection")
    v.add_argument("--debug", action="store_true", help="log every command that is run (also CODETAINER_DEBUG=on)")

    v = verb("attach", "Wait for boot on the dashboard, then become the Claude session (as the agent).")
    v.add_argument("--plain", action="store_true", help="text lines instead of the dashboard")
    v.add_argument("--stay", action="store_true", help="stay on the dashboard when the session is there")
    v.add_argument("--timeout", type=_duration, metavar="TIME", help="how long to wait for boot (default: 5m)")
    v.add_argument("--of-up", metavar="NAME", default="", help=argparse.SUPPRESS)  # codetainer up's own; ends as Leaving says
    v.add_argument("--locked", action="store_true", help=argparse.SUPPRESS)

    v = verb("dashboard", "Show the dashboard of the sandbox this runs in, or of a recorded journal.")
    v.add_argument("--stay", action="store_true", help="do not hand over to the session (it never does; as for attach)")
    v.add_argument("--plain", action="store_true", help="one line an event, in words, for screen readers and pipes")
    v.add_argument("--replay", type=Path, metavar="FILE", help="play a recorded journal")
    v.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="N times as fast; 0: its end at once")
    v.add_argument("--picture", type=Path, metavar="FILE", help="with --replay: write the last screen as SVG and end")
    v.add_argument("--size", type=_size, default="120x40", metavar="WxH", help="of the picture (default: %(default)s)")

    v = verb("status", "Say how the sandbox is. Exit code 0: well, 1: degraded or booting, 2: closed or failed.")
    v.add_argument("--json", action="store_true", help="for programs")
    v.add_argument("--walls", action="store_true", help="what protects what, and how each was when it was last tried")

    v = verb("logs", "Print the journal.")
    v.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    v.add_argument("--json", action="store_true", help="the journal's own lines")
    instead = v.add_mutually_exclusive_group()
    instead.add_argument(
        "--serious", action="store_true", help="only serious refusals, and those that look like a tunnel or scan"
    )
    instead.add_argument("--traffic", action="store_true", help="instead: every connection that the gate carried")
    instead.add_argument("--debug", action="store_true", help="instead: every command that was run (root only)")

    v = verb("allow", "Open a name now, for a time or until it is revoked.")
    v.add_argument("name", metavar="NAME", help="a name, or *.NAME for all names below it")
    v.add_argument("--port", default="", metavar="PORTS", help="as in domains.conf: 443,8443/tls (default: 443 and 80)")
    v.add_argument("--for", dest="seconds", type=_how_long, metavar="TIME", help="90s, 5m, 1h, 2d (default: until revoked)")
    v.add_argument(
        "--yes",
        action="store_true",
        help="a wildcard that opens what anybody can register, or a name without an address, is meant",
    )

    v = verb("revoke", "Close a name that was allowed by hand, and cut the flows it carries.")
    v.add_argument("name", metavar="NAME")
    v.add_argument("--port", default="", metavar="PORTS", help="only these (default: all that was allowed by hand)")

    v = verb("allowed", "List every open name and where it comes from.")
    v.add_argument("--json", action="store_true", help="for programs")

    v = verb("mute", "Count a name's refusals without showing them.")
    v.add_argument("name", metavar="NAME")
    v.add_argument("--for", dest="seconds", type=_how_long, metavar="TIME", help="90s, 5m, 1h, 2d (default: until --off)")
    v.add_argument("--off", action="store_true", help="show them again")

    verb("acknowledge", "Print the serious refusals that nobody has acknowledged, and acknowledge them.")

    v = verb("explain", "Tell what would happen to a name or an address, and which line of which file decides.")
    v.add_argument("target", metavar="NAME|ADDRESS[:PORT]")

    v = verb("work", "Count unsaved work now: unpushed commits, uncommitted files, stashes.")
    v.add_argument("--json", action="store_true", help="for programs")

    v = verb("save", "Push unsaved work to a branch wip/... now, and again when the sandbox stops.")
    v.add_argument("--off", action="store_true", help="instead: save nothing when the sandbox stops")

    v = verb("traffic", "Show what the gate carried, by name.")
    v.add_argument("--json", action="store_true", help="for programs")

    v = verb("metrics", "Print how the sandbox is, as Prometheus reads it (OpenMetrics).")
    v.add_argument("--serve", type=_port, metavar="FD", help=argparse.SUPPRESS)  # the listening socket that boot hands over

    v = verb("ssh-config", "Print the entry for ~/.ssh/config to log in here, and the host key's line for known_hosts.")
    v.add_argument("--name", type=_word, default="codetainer", help="what ssh shall call it (default: %(default)s)")
    v.add_argument("--host", type=_word, help="how it is reached (default: this sandbox's own address)")
    v.add_argument("--port", type=_port, help="under which port it is reached (default: sshd's own)")
    v.add_argument("--known-hosts", action="store_true", help="only the line for known_hosts")

    verb("suggest", "Print lines for domains.conf, made from what was refused.")
    verb("refresh", "Resolve every listed name again, now.")
    verb("freeze", "Stop the agent's processes, close every address and cut all flows.")
    verb("thaw", "Undo freeze.")
    verb("retry", "Boot again after a halt; after a degraded boot, try again the steps that failed.")

    v = verb("session", "Start the agent's session anew.")
    v.add_argument("what", choices=("restart",), metavar="restart")
    v.add_argument("--yes", action="store_true", help="do not ask, whatever the agent is doing")
    return top


def _word(text: str) -> str:
    if not text.isprintable() or not text or any(c in " #\"'*?!," for c in text):
        raise argparse.ArgumentTypeError("expected one word")
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError("expected a port number")
    return int(text)


def _speed(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"cannot play {text!a} times as fast: expected 0 or more, such as 0.5 or 10")
    return found


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) < 1000 and 0 < int(height) < 1000):
        raise argparse.ArgumentTypeError(f"cannot draw {text!a}: expected WIDTHxHEIGHT in characters, such as 120x40")
    return int(width), int(height)


def _how_long(text: str) -> float:
    """For how long something holds. "0" is no way to say "for ever"."""
    try:
        return durations.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; without --for there is no end to it") from error


def _duration(text: str) -> float:
    try:
        return durations.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
