"""`codetainer`: one function a verb. What a verb needs is imported in it: a login must not wait for what it does not use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from backend.contract.paths import Paths

if TYPE_CHECKING:
    from backend.contract.control import Reply, Request

BACKEND_VERBS = ("up", "enter", "check")  # they parse their own arguments: a COMMAND may follow
OVERVIEW = """\
usage: codetainer VERB [options]        codetainer VERB --help says more

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
  suggest    lines for domains.conf, made from what was refused

inside, for the operator (root)
  allow      open a name now, for a time or until revoked
  revoke     close it again, and cut what it carries
  mute       count a name's refusals without showing them
  refresh    resolve every listed name again, now
  freeze     stop the agent and close every address;  thaw: let it go on
  retry      boot again after a halt
  session restart   start the agent's session anew

  codetainer --version
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"codetainer: {message}\n  {self.format_usage().strip()}\n")
        sys.exit(2)


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    match arguments:
        case [] | ["-h"] | ["--help"] | ["help"]:
            sys.stdout.write(OVERVIEW)
            return 0 if arguments else 2
        case ["--version"]:
            from importlib.metadata import version

            sys.stdout.write(f"codetainer {version('codetainer')}\n")
            return 0
        case [verb, *rest] if verb in BACKEND_VERBS:
            return backend(verb, rest)
        case ["help", verb, *_]:
            return main([verb, "--help"])
        case _:
            options = parser().parse_args(arguments)
            verb_function: Callable[[argparse.Namespace], int] = options.function
            try:
                return verb_function(options)
            except KeyboardInterrupt:
                return 130
            except BrokenPipeError:
                sys.stderr.close()  # the reader has gone; nothing is left to say, not even that
                return 141


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="codetainer", add_help=False, usage="codetainer VERB [options]")
    verbs = top.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)

    def verb(name: str, function: Callable[[argparse.Namespace], int], says: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, description=says, prog=f"codetainer {name}")
        made.set_defaults(function=function)
        return made

    v = verb("boot", boot, "Boot this container's sandbox and keep it running. On a terminal it shows the dashboard.")
    v.add_argument("--no-tui", action="store_true", help="one plain line an event on stdout, no dashboard")
    v.add_argument("--plain", action="store_true", help="on a terminal: text lines instead of the dashboard")
    v.add_argument("--json", action="store_true", help="with --no-tui: journal lines (also CODETAINER_LOG_FORMAT=json)")
    v.add_argument("--on-failure", choices=("exit", "hold"), help="after a halt: exit with code 1, or hold it for inspection")

    v = verb("attach", attach, "Wait for boot on the dashboard, then become the Claude session (as the agent).")
    v.add_argument("--plain", action="store_true", help="text lines instead of the dashboard")
    v.add_argument("--stay", action="store_true", help="stay on the dashboard when the session is there")
    v.add_argument("--timeout", type=_duration, metavar="TIME", help="how long to wait for boot (default: 5m)")

    v = verb("dashboard", dashboard, "Show the dashboard of the sandbox this runs in, or of a recorded journal.")
    v.add_argument("--stay", action="store_true", help="do not hand over to the session")
    v.add_argument("--replay", type=Path, metavar="FILE", help="play a recorded journal")
    v.add_argument("--speed", type=float, default=1.0, metavar="N", help="N times as fast; 0: its end at once")
    v.add_argument("--picture", type=Path, metavar="FILE", help="with --replay: write the last screen as SVG and end")
    v.add_argument("--size", default="120x40", metavar="WxH", help="of the picture (default: %(default)s)")

    v = verb("status", status, "Say how the sandbox is. Exit code 0: well, 1: degraded or booting, 2: closed or failed.")
    v.add_argument("--json", action="store_true", help="for programs")

    v = verb("logs", logs, "Print the journal.")
    v.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    v.add_argument("--json", action="store_true", help="the journal's own lines")

    v = verb("allow", allow, "Open a name now, for a time or until it is revoked.")
    v.add_argument("name", metavar="NAME", help="a name, or *.NAME for all names below it")
    v.add_argument("--port", default="", metavar="PORTS", help="as in domains.conf: 443,8443/tls (default: 443 and 80)")
    v.add_argument("--for", dest="seconds", type=_duration, default=0.0, metavar="TIME", help="90s, 5m, 1h, 2d")
    v.add_argument("--yes", action="store_true", help="a wildcard that opens what anybody can register is meant")

    v = verb("revoke", revoke, "Close a name that was allowed by hand, and cut the flows it carries.")
    v.add_argument("name", metavar="NAME")

    v = verb("allowed", allowed, "List every open name and where it comes from.")
    v.add_argument("--json", action="store_true", help="for programs")

    v = verb("mute", mute, "Count a name's refusals without showing them.")
    v.add_argument("name", metavar="NAME")
    v.add_argument("--for", dest="seconds", type=_duration, default=0.0, metavar="TIME", help="90s, 5m, 1h, 2d")
    v.add_argument("--off", action="store_true", help="show them again")

    v = verb("explain", explain, "Tell what would happen to a name or an address, and which line of which file decides.")
    v.add_argument("target", metavar="NAME|ADDRESS[:PORT]")

    verb("suggest", suggest, "Print lines for domains.conf, made from what was refused.")
    verb("refresh", refresh, "Resolve every listed name again, now.")
    verb("freeze", freeze, "Stop the agent's processes, close every address and cut all flows.")
    verb("thaw", thaw, "Undo freeze.")
    verb("retry", retry, "Boot again after a halt.")

    v = verb("session", session, "Start the agent's session anew.")
    v.add_argument("what", choices=("restart",))
    return top


def _duration(text: str) -> float:
    from codetainer_tui.words import duration

    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


# --- processes ---


def backend(verb: str, arguments: list[str]) -> int:
    """Becomes the backend, with the arguments as they came."""
    from codetainer_tui import process

    process.become(process.backend(verb, *arguments))
    return 1


def boot(options: argparse.Namespace) -> int:
    from codetainer_tui import boot as verb
    from codetainer_tui import process

    if options.on_failure:
        process.change_environment({"CODETAINER_ON_FAILURE": options.on_failure})
    argv = process.backend("boot")
    if options.no_tui or not (sys.stdin.isatty() and sys.stderr.isatty()):
        as_json = options.json or process.environment().get("CODETAINER_LOG_FORMAT") == "json"
        return verb.lines(Paths(), argv, as_json=as_json)
    plain = ["--plain"] if options.plain else []
    return verb.screen(Paths(), argv, [sys.executable, "-I", "-m", "codetainer_tui.cli", "attach", *plain])


def attach(options: argparse.Namespace) -> int:
    from codetainer_tui import attach as verb

    return verb.attach(Paths(), plain=options.plain, stay=options.stay, timeout=options.timeout)


def dashboard(options: argparse.Namespace) -> int:
    from codetainer_tui import dashboard as verb

    if options.picture and not options.replay:
        sys.stderr.write("codetainer: --picture goes with --replay FILE\n")
        return 2
    if options.replay:
        if not options.replay.is_file():
            sys.stderr.write(f"codetainer: cannot replay {options.replay}: there is no such file\n")
            return 1
        if options.picture:
            width, _, height = options.size.partition("x")
            return verb.picture(options.replay, options.picture, int(width), int(height))
        return verb.replay(options.replay, options.speed)
    return verb.watch(Paths(), stay=options.stay)


def status(options: argparse.Namespace) -> int:
    from codetainer_tui import status as verb

    return verb.status(Paths(), as_json=options.json)


def logs(options: argparse.Namespace) -> int:
    from codetainer_tui import logs as verb

    return verb.logs(Paths(), go_on=options.follow, as_json=options.json)


def suggest(options: argparse.Namespace) -> int:
    from codetainer_tui import suggest as verb

    return verb.suggest(Paths())


# --- asking ---


def _ask(request: Request, as_typed: str) -> Reply:
    from codetainer_tui.ask import ask

    return ask(Paths().control, request, as_typed)


def _tell(reply: Reply) -> int:
    """What came of it: on stdout where it was done, else on stderr with what to do."""
    if reply.ok:
        if reply.text:
            sys.stdout.write(reply.text + "\n")
        return 0
    sys.stderr.write(f"codetainer: {reply.text}\n" + (f"  {reply.hint}\n" if reply.hint else ""))
    return 1


def allow(options: argparse.Namespace) -> int:
    from backend.contract.control import Allow

    typed = f"codetainer allow {options.name}" + (f" --port {options.port}" if options.port else "")
    return _tell(_ask(Allow(options.name, options.port, options.seconds, options.yes), typed))


def revoke(options: argparse.Namespace) -> int:
    from backend.contract.control import Revoke

    return _tell(_ask(Revoke(options.name), f"codetainer revoke {options.name}"))


def allowed(options: argparse.Namespace) -> int:
    from backend.contract.control import ListAllowed
    from codetainer_tui import allowed as verb

    reply = _ask(ListAllowed(), "codetainer allowed")
    if not reply.ok:
        return _tell(reply)
    sys.stdout.write(verb.as_json(reply) if options.json else verb.table(reply))
    return 0


def mute(options: argparse.Namespace) -> int:
    from backend.contract.control import Mute

    seconds = -1.0 if options.off else options.seconds
    return _tell(_ask(Mute(options.name, seconds), f"codetainer mute {options.name}"))


def explain(options: argparse.Namespace) -> int:
    from backend.contract.control import Explain

    return _tell(_ask(Explain(options.target), f"codetainer explain {options.target}"))


def refresh(_: argparse.Namespace) -> int:
    from backend.contract.control import Refresh

    return _tell(_ask(Refresh(), "codetainer refresh"))


def freeze(_: argparse.Namespace) -> int:
    from backend.contract.control import Freeze

    return _tell(_ask(Freeze(), "codetainer freeze"))


def thaw(_: argparse.Namespace) -> int:
    from backend.contract.control import Thaw

    return _tell(_ask(Thaw(), "codetainer thaw"))


def retry(_: argparse.Namespace) -> int:
    from backend.contract.control import Retry

    return _tell(_ask(Retry(), "codetainer retry"))


def session(_: argparse.Namespace) -> int:
    from backend.contract.control import RestartSession

    return _tell(_ask(RestartSession(), "codetainer session restart"))


if __name__ == "__main__":
    sys.exit(main())
