"""The command line of `codetainer`. The verbs of the control socket come from backend/contract/control.py."""

from __future__ import annotations

import argparse
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.contract import control, durations
from backend.contract.command_line import Parser, summary
from backend.contract.verbs import BACKEND_VERBS

BOOT = {"boot": "Boot in place, as a container does, and keep the sandbox running. On a terminal it shows the dashboard."}
INSIDE = {
    "status": "Print the state of the sandbox. Exit code 0: ready, 1: degraded or booting, 2: closed or failed.",
    "dashboard": "Show the dashboard of this sandbox, or play a recorded journal.",
    "attach": "Open the session, or the dashboard until the session is ready.",
    "logs": "Print the journal as text.",
    "traffic": "Print the traffic that the gate carried, by name.",
    "report": "Report what happened overnight: time, work, traffic, refusals, decisions, tokens.",
    "suggest": "Print lines for domains.conf, based on what was refused.",
    "verify": "Tell whether a journal and a traffic log are whole. Exit code 0: whole, 1: a gap, 2: cannot be established.",
    "metrics": "Print metrics in OpenMetrics format.",
    "ssh-config": "Print the entry for ~/.ssh/config, or the host key's line for known_hosts.",
}
OWN_REQUESTS = tuple(request for request in control.VERBS.values() if not request.internal)
REQUESTS = {request.verb: request.description() for request in OWN_REQUESTS}


def _backend(*verbs: str) -> dict[str, str]:
    return {verb: BACKEND_VERBS[verb] for verb in verbs}


GROUPS = {  # verbs with their descriptions, in the order of the overview
    "a sandbox": _backend("up", "enter", "suspend", "check") | BOOT,
    "inside": INSIDE | _backend("export"),
    "inside, for the operator (root)": _backend("as-agent") | REQUESTS,
}
VERBS = tuple(dict.fromkeys(verb.split()[0] for group in GROUPS.values() for verb in group))


def overview() -> str:
    lines = ["usage: codetainer VERB [options]        codetainer VERB --help says more; codetainer --version"]
    for title, verbs in GROUPS.items():
        lines += ["", title, *(f"  {verb:<16} {summary(description)}" for verb, description in verbs.items())]
    return "\n".join(lines) + "\n"


def parser() -> argparse.ArgumentParser:
    """The parser. Its result has `verb` and the options; for a verb of the control socket, also its `request` class.

    An error ends the process with exit code 2.
    """
    top = Parser(prog="codetainer", add_help=False, usage="codetainer VERB [options]")
    verbs = top.add_subparsers(metavar="VERB", required=True, parser_class=Parser)

    def add(verb: str, description: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(verb, description=description, prog=f"codetainer {verb}")
        made.set_defaults(verb=verb)
        return made

    for request in OWN_REQUESTS:
        _add_request(add(request.verb.split()[0], request.description()), request)
    made = {verb: add(verb, description) for verb, description in (BOOT | INSIDE).items()}

    v = made["boot"]
    v.add_argument("--no-tui", action="store_true", help="print one line per event on stdout, no dashboard")
    v.add_argument("--plain", action="store_true", help="on a terminal: text lines instead of the dashboard")
    v.add_argument("--json", action="store_true", help="with --no-tui: journal lines (also CODETAINER_LOG_FORMAT=json)")
    v.add_argument("--on-failure", choices=("exit", "hold"), help="after a halt: exit with code 1, or hold it for inspection")
    v.add_argument("--debug", action="store_true", help="log every command that is run (also CODETAINER_DEBUG=on)")

    v = made["attach"]
    v.add_argument("--plain", action="store_true", help="text lines instead of the dashboard")
    v.add_argument("--stay", action="store_true", help="stay on the dashboard when the session is ready")
    v.add_argument("--timeout", type=_checked(durations.read), metavar="TIME", help="how long to wait for boot (default: 5m)")
    v.add_argument("--of-up", metavar="NAME", default="", help=argparse.SUPPRESS)  # for `up` only; the exit code is a Leaving
    v.add_argument("--locked", action="store_true", help=argparse.SUPPRESS)

    v = made["dashboard"]
    v.add_argument("--stay", action="store_true", help="as for attach (the dashboard stays anyway)")
    v.add_argument("--plain", action="store_true", help="print one line per event, for screen readers and pipes")
    v.add_argument("--replay", type=Path, metavar="FILE", help="play a recorded journal")
    v.add_argument("--speed", type=_checked(_speed), default=1.0, metavar="N", help="N times as fast; 0: its end at once")
    v.add_argument("--picture", type=Path, metavar="FILE", help="with --replay: write the last screen as SVG")
    v.add_argument(
        "--size", type=_checked(_size), default="120x40", metavar="WxH", help="of the picture (default: %(default)s)"
    )

    v = made["status"]
    v.add_argument("--json", action="store_true", help="print JSON")
    v.add_argument("--walls", action="store_true", help="list the protections with their last test results")

    v = made["logs"]
    v.add_argument("-f", "--follow", action="store_true", help="continue as the journal grows")
    v.add_argument("--json", action="store_true", help="print the journal's own lines")
    instead = v.add_mutually_exclusive_group()
    instead.add_argument(
        "--serious", action="store_true", help="only serious refusals, and those that look like a tunnel or scan"
    )
    instead.add_argument("--traffic", action="store_true", help="instead: every connection that the gate carried")
    instead.add_argument("--before", action="store_true", help="instead: the end of the suspended sandbox's journal")
    instead.add_argument("--debug", action="store_true", help="instead: every command that was run (root only)")

    v = made["report"]
    v.add_argument(
        "--since", type=_checked(_since), metavar="TIME", help="report on the last 8h, or from 22:30 on (default: two days)"
    )
    v.add_argument("--task", type=Path, metavar="FILE", help="the file with the task (CLAUDE_PROMPT), to include its text")
    v.add_argument("--journal", type=Path, metavar="FILE", help="report on the journal of another sandbox")
    form = v.add_mutually_exclusive_group()
    form.add_argument("--html", type=Path, metavar="FILE", help="write an HTML page")
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--notify", action="store_true", help="send it to the addresses of CODETAINER_NOTIFY (root only)")

    v = made["verify"]
    v.add_argument("files", nargs="*", type=Path, metavar="FILE", help="copies, the oldest first (default: this sandbox's own)")
    v.add_argument("--head", default="", help="a head of the journal that was noted elsewhere: the lines up to it are compared")
    v.add_argument("--key", default="", help="a key of the journal that was noted elsewhere: the seals after it are compared")
    v.add_argument("--json", action="store_true", help="print JSON")

    made["traffic"].add_argument("--json", action="store_true", help="print JSON")
    made["metrics"].add_argument(
        "--serve", type=_checked(_port), metavar="FD", help=argparse.SUPPRESS
    )  # boot's listening socket

    v = made["ssh-config"]
    v.add_argument("--name", type=_checked(_word), default="codetainer", help="the name for ssh (default: %(default)s)")
    v.add_argument("--host", type=_checked(_word), help="the address to connect to (default: this sandbox's own)")
    v.add_argument("--port", type=_checked(_port), help="the port to connect to (default: sshd's own)")
    v.add_argument("--known-hosts", action="store_true", help="print only the line for known_hosts")
    return top


def _add_request(verb: argparse.ArgumentParser, request: type[control.Request]) -> None:
    """Adds what the class describes."""
    verb.set_defaults(request=request)
    for word in request.verb.split()[1:]:
        verb.add_argument(word, choices=(word,), metavar=word)
    for name, argument in request.arguments().items():
        if not argument.flag:
            least: dict[str, Any] = {"nargs": "?", "default": ""} if argument.optional else {}
            verb.add_argument(name, metavar=argument.metavar, help=argument.help, **least)
        elif not argument.metavar:
            verb.add_argument(argument.flag, dest=name, action="store_true", help=argument.help)
        else:
            default = request.__dataclass_fields__[name].default
            verb.add_argument(
                argument.flag, dest=name, type=_checked(argument.read), metavar=argument.metavar, default=default,
                help=argument.help,
            )  # fmt: skip
    for flag, text in request.client_switches.items():
        verb.add_argument(flag, action="store_true", help=text)


def _checked(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader for argparse, which shows the text of an ArgumentTypeError only."""

    def checked(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _word(text: str) -> str:
    if not text.isprintable() or not text or any(c in " #\"'*?!," for c in text):
        raise ValueError("expected one word")
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("expected a port number")
    return int(text)


def _since(text: str) -> Callable[[float], float]:
    """A duration, or a time of day: the last one before the report."""
    if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", text):
        hour, minute = map(int, text.split(":"))
        if hour < 24 and minute < 60:
            return lambda now: _before(now, hour, minute)
    try:
        seconds = durations.read(text)
    except ValueError as error:
        raise ValueError(f"{error}; or a time of day such as 22:30") from error
    return lambda now: now - seconds


def _before(now: float, hour: int, minute: int) -> float:
    """The last time before `now` at which local clocks showed this time."""
    year, month, day = time.localtime(now)[:3]
    today = time.mktime((year, month, day, hour, minute, 0, 0, 0, -1))
    return today if today <= now else time.mktime((year, month, day - 1, hour, minute, 0, 0, 0, -1))


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed < math.inf:
        raise ValueError(f"cannot play {text!a} times as fast: expected 0 or more, such as 0.5 or 10")
    return speed


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) < 1000 and 0 < int(height) < 1000):
        raise ValueError(f"cannot draw {text!a}: expected WIDTHxHEIGHT in characters, such as 120x40")
    return int(width), int(height)
