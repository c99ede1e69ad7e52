"""`codetainer`: one function a verb, imports inside, so that each starts with only what it needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

Verb = Callable[[argparse.Namespace], int]
PASSED_ON = ("up", "enter", "check")  # verbs whose arguments the backend reads


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code; 2 for a command line, or settings, that are not right."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in PASSED_ON:
        return _backend(arguments)
    options = _parser().parse_args(arguments)
    run: Verb = options.run
    try:
        return run(options)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing more is read; flushing at exit must not say so
        return 141
    except KeyboardInterrupt:
        return 130


def _backend(arguments: Sequence[str]) -> int:
    from codetainer_tui.process import backend, become

    become(backend(*arguments))
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codetainer", description="A hardened sandbox in which Claude Code works on its own.",
        epilog="up, enter and check have options of their own: codetainer up --help",
    )  # fmt: skip
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Verb, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(run=run)
        return added

    for name, text in (
        ("up", "a sandbox on this machine"),
        ("enter", "a command in one"),
        ("check", "what is missing for one"),
    ):
        verbs.add_parser(name, help=text, add_help=False)
    one = verb("boot", _boot, "boot this container (its entrypoint)")
    one.add_argument(
        "--no-tui", "--plain", dest="plain", action="store_true", help="one line an event instead of the dashboard"
    )
    one.add_argument("--on-failure", choices=("hold", "exit"), help="as CODETAINER_ON_FAILURE")
    one = verb("attach", _attach, "wait for boot, then become the session (what a login runs)")
    one.add_argument("--stay", action="store_true", help="stay in the dashboard")
    one.add_argument("--plain", action="store_true", help="lines instead of the dashboard")
    one = verb("dashboard", _dashboard, "the dashboard")
    one.add_argument("--stay", action="store_true", help="never hand over by itself")
    one.add_argument("--replay", metavar="FILE", help="a recorded journal instead of this sandbox")
    one.add_argument("--speed", type=float, default=1.0, help="how fast to replay (default: %(default)s)")
    one = verb("status", _status, "how the sandbox is: exit code 0 well, 1 degraded, 2 closed or failed")
    one.add_argument("--json", action="store_true", help="for programs")
    one = verb("logs", _logs, "what has happened")
    one.add_argument("-f", "--follow", action="store_true", help="go on as it happens")
    one.add_argument("--json", action="store_true", help="the journal's own lines")
    one = verb("allow", _allow, "open a name now")
    one.add_argument("name", help="api.example.com, *.example.com or api.example.com:8443/tls")
    one.add_argument("--port", default="", help="ports, as in domains.conf: 443,8443/tls")
    one.add_argument(
        "--for", dest="seconds", type=_duration, default=0.0, metavar="1h", help="for how long (default: until revoked)"
    )
    one.add_argument("--yes", action="store_true", help="a broad wildcard is meant")
    verb("revoke", _revoke, "close a name that was allowed by hand").add_argument("name")
    verb("allowed", _allowed, "every open name and where it comes from").add_argument("--json", action="store_true")
    one = verb("mute", _mute, "count a name's refusals without showing them")
    one.add_argument("name")
    one.add_argument(
        "--for", dest="seconds", type=_duration, default=0.0, metavar="1h", help="for how long (default: until --off)"
    )
    one.add_argument("--off", action="store_true", help="show them again")
    verb("suggest", _suggest, "lines for domains.conf from what was refused")
    verb("explain", _explain, "what would happen to NAME or ADDRESS[:PORT], and why").add_argument("target")
    verb("refresh", _refresh, "resolve every listed name again, now")
    verb("freeze", _freeze, "stop the agent and close every address")
    verb("thaw", _thaw, "undo freeze")
    verb("retry", _retry, "boot again after a halt")
    one = verb("session", _session, "the Claude session")
    one.add_argument("what", choices=("restart",))
    return parser


def _duration(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    if not number.isdigit() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration, as in 90s, 30m or 1h")
    return float(number) * units[unit]


def _boot(options: argparse.Namespace) -> int:
    from codetainer_tui import boot

    if options.on_failure:
        os.environ["CODETAINER_ON_FAILURE"] = options.on_failure  # the backend's settings are its environment
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if options.plain or not terminal:
        return boot.headless(json=os.environ.get("CODETAINER_LOG_FORMAT") == "json")
    return boot.on_terminal()


def _attach(options: argparse.Namespace) -> int:
    from codetainer_tui import attach

    return attach.run(stay=options.stay, plain=options.plain)


def _dashboard(options: argparse.Namespace) -> int:
    from codetainer_tui import attach

    if options.replay:
        return attach.replay(options.replay, options.speed)
    return attach.run(stay=True, plain=False)


def _status(options: argparse.Namespace) -> int:
    from codetainer_tui import status

    return status.run(json=options.json)


def _logs(options: argparse.Namespace) -> int:
    from codetainer_tui import logs

    return logs.run(follow=options.follow, json=options.json)


def _suggest(_: argparse.Namespace) -> int:
    from codetainer_tui import status

    return status.suggest()


def _allow(options: argparse.Namespace) -> int:
    from backend.contract.control import Allow
    from codetainer_tui import ask

    return ask.run(Allow(options.name, options.port, options.seconds, options.yes))


def _revoke(options: argparse.Namespace) -> int:
    from backend.contract.control import Revoke
    from codetainer_tui import ask

    return ask.run(Revoke(options.name))


def _allowed(options: argparse.Namespace) -> int:
    from codetainer_tui import ask

    return ask.allowed(json=options.json)


def _mute(options: argparse.Namespace) -> int:
    from backend.contract.control import Mute
    from codetainer_tui import ask

    return ask.run(Mute(options.name, -1.0 if options.off else options.seconds))


def _explain(options: argparse.Namespace) -> int:
    from backend.contract.control import Explain
    from codetainer_tui import ask

    return ask.run(Explain(options.target))


def _refresh(_: argparse.Namespace) -> int:
    from backend.contract.control import Refresh
    from codetainer_tui import ask

    return ask.run(Refresh())


def _freeze(_: argparse.Namespace) -> int:
    from backend.contract.control import Freeze
    from codetainer_tui import ask

    return ask.run(Freeze())


def _thaw(_: argparse.Namespace) -> int:
    from backend.contract.control import Thaw
    from codetainer_tui import ask

    return ask.run(Thaw())


def _retry(_: argparse.Namespace) -> int:
    from backend.contract.control import Retry
    from codetainer_tui import ask

    return ask.run(Retry())


def _session(_: argparse.Namespace) -> int:
    from backend.contract.control import RestartSession
    from codetainer_tui import ask

    return ask.run(RestartSession())
