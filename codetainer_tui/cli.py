"""`codetainer`: one function a verb. What a verb needs is imported in it: a login must not wait for what it does not use.

Length: one function a verb, and all of them short.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from backend.contract import shell
from backend.contract.command_line import EXIT_CODE, nearest, wrong
from backend.contract.paths import Paths
from codetainer_tui import process

if TYPE_CHECKING:
    from backend.contract.control import Reply, Request

BACKEND_VERBS = ("up", "enter", "check", "export", "as-agent")  # they parse their own arguments: a COMMAND may follow


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    match arguments:
        case [] | ["-h"] | ["--help"] | ["help"]:
            from codetainer_tui.arguments import OVERVIEW

            sys.stdout.write(OVERVIEW)
            return 0 if arguments else EXIT_CODE
        case ["--version"]:
            from importlib.metadata import version

            sys.stdout.write(f"codetainer {version('codetainer')}\n")
            return 0
        case [verb, *rest] if verb in BACKEND_VERBS:
            return backend(verb, rest)
        case ["help", verb, *_]:
            return main([verb, "--help"])
        case [verb, *_] if verb not in VERBS:
            return _no_verb(verb)
        case _:
            return run(arguments)


def _no_verb(word: str) -> int:
    from codetainer_tui.words import harmless

    near = nearest(word, (*BACKEND_VERBS, *VERBS))
    reason = "a verb comes first" if word.startswith("-") else "there is no such verb"
    meant = f"did you mean codetainer {near}?" if near else ""
    sys.stderr.write(wrong(f"cannot run {harmless(word)}: {reason}", meant, "codetainer --help lists the verbs"))
    return EXIT_CODE


def run(arguments: list[str]) -> int:
    from codetainer_tui.arguments import parser

    options = parser().parse_args(arguments)
    try:
        return VERBS[options.verb](options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        process.silence(1)  # the reader has gone; flushing at the end must not say so
        return 141


# --- processes ---


def backend(verb: str, arguments: list[str]) -> int:
    """Becomes the backend, with the arguments as they came."""
    process.become(process.backend(verb, *arguments))
    return 1


def boot(options: argparse.Namespace) -> int:
    from codetainer_tui import boot as verb

    chosen = {"CODETAINER_ON_FAILURE": options.on_failure, "CODETAINER_DEBUG": "on" if options.debug else ""}
    process.change_environment({name: value for name, value in chosen.items() if value})
    argv = process.backend("boot")
    if options.no_tui or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return verb.lines(Paths(), argv, as_json=options.json)
    plain = ["--plain"] if options.plain else []
    return verb.screen(Paths(), argv, [sys.executable, "-I", "-m", "codetainer_tui.cli", "attach", *plain])


def attach(options: argparse.Namespace) -> int:
    if options.of_up:
        from codetainer_tui import of_up

        return of_up.run(Paths(), options.of_up, plain=options.plain, stay=options.stay, locked=options.locked)
    from codetainer_tui import attach as verb

    return verb.attach(Paths(), plain=options.plain, stay=options.stay, timeout=options.timeout)


def dashboard(options: argparse.Namespace) -> int:
    from codetainer_tui import dashboard as verb
    from codetainer_tui import logs

    if options.picture and not options.replay:
        sys.stderr.write(
            wrong("cannot run dashboard: --picture goes with --replay FILE", "codetainer dashboard --help says more")
        )
        return EXIT_CODE
    lines = options.plain or not process.on_screen()
    if options.replay:
        if problem := logs.cannot_replay(options.replay):
            sys.stderr.write(f"codetainer: cannot replay {options.replay}: {problem}\n")
            return 1
        if options.picture:
            return verb.write_picture(options.replay, options.picture, *options.size)
        return logs.replay(options.replay, options.speed) if lines else verb.replay(options.replay, options.speed)
    if options.plain:
        return logs.logs(Paths(), go_on=True, as_json=False)
    from codetainer_tui.attach import attach

    return attach(Paths(), stay=True)


def status(options: argparse.Namespace) -> int:
    from codetainer_tui import status as verb

    return verb.status(Paths(), as_json=options.json, only_walls=options.walls)


def logs(options: argparse.Namespace) -> int:
    from codetainer_tui import logs as verb

    if options.debug:
        return verb.debug(Paths(), go_on=options.follow, as_json=options.json)
    if options.traffic:
        return verb.traffic(Paths(), go_on=options.follow, as_json=options.json)
    return verb.logs(Paths(), go_on=options.follow, as_json=options.json, serious=options.serious)


def traffic(options: argparse.Namespace) -> int:
    from codetainer_tui import traffic as verb

    return verb.traffic(Paths(), as_json=options.json)


def metrics(options: argparse.Namespace) -> int:
    from codetainer_tui.metrics import server

    return server.serve(Paths(), options.serve) if options.serve else server.once(Paths())


def ssh_config(options: argparse.Namespace) -> int:
    from codetainer_tui import ssh_config as verb

    return verb.ssh_config(
        Paths(), name=options.name, host=options.host or "", port=options.port or 0, known_hosts=options.known_hosts
    )


def suggest(options: argparse.Namespace) -> int:
    from codetainer_tui import suggest as verb

    return verb.suggest(Paths())


# --- asking ---


def _ask(request: Request, as_typed: str) -> Reply:
    from codetainer_tui.ask import ask

    return ask(Paths().control, request, as_typed)


def _tell(reply: Reply) -> int:
    from codetainer_tui.ask import tell

    return tell(reply)


def allow(options: argparse.Namespace) -> int:
    from backend.contract.control import Allow

    typed = shell.command("codetainer", "allow", options.name, *_port(options.port))
    return _tell(_ask(Allow(options.name, options.port, options.seconds, options.yes), typed))


def revoke(options: argparse.Namespace) -> int:
    from backend.contract.control import Revoke

    typed = shell.command("codetainer", "revoke", options.name, *_port(options.port))
    return _tell(_ask(Revoke(options.name, options.port), typed))


def _port(ports: str) -> tuple[str, ...]:
    return ("--port", ports) if ports else ()


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

    return _tell(_ask(Mute(options.name, options.seconds, options.off), shell.command("codetainer", "mute", options.name)))


def acknowledge(_: argparse.Namespace) -> int:
    from codetainer_tui import acknowledge as verb

    return verb.acknowledge(Paths())


def explain(options: argparse.Namespace) -> int:
    from backend.contract.control import Explain

    return _tell(_ask(Explain(options.target), shell.command("codetainer", "explain", options.target)))


def work(options: argparse.Namespace) -> int:
    import json

    from backend.contract.control import CountWork
    from codetainer_tui.view import stakes

    reply = _ask(CountWork(), "codetainer work")
    if not reply.ok:
        return _tell(reply)
    sys.stdout.write(json.dumps(reply.data) + "\n" if options.json else stakes.table(reply))
    return 1 if reply.data.get("problem") else 0


def save(options: argparse.Namespace) -> int:
    from backend.contract.control import DropWork, SaveWork

    if options.off:
        return _tell(_ask(DropWork(), "codetainer save --off"))
    return _tell(_ask(SaveWork(), "codetainer save"))


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


def session(options: argparse.Namespace) -> int:
    from backend.contract.control import RestartSession
    from codetainer_tui import restart

    if not options.yes and not restart.agreed(Paths()):
        return 1
    return _tell(_ask(RestartSession(), "codetainer session restart"))


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        boot,
        attach,
        dashboard,
        status,
        logs,
        traffic,
        suggest,
        metrics,
        ssh_config,
        allow,
        revoke,
        allowed,
        mute,
        acknowledge,
        work,
        save,
        explain,
        refresh,
        freeze,
        thaw,
        retry,
        session,
    )
}

if __name__ == "__main__":
    sys.exit(main())
