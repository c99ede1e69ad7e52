"""`codetainer`: one function per verb that needs one. Each imports only what it needs, so that a login is fast."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from backend.contract.paths import Paths
from backend.contract.verbs import BACKEND_VERBS, EXIT_CODE, nearest, wrong
from codetainer_tui import process

if TYPE_CHECKING:
    import argparse

    from backend.contract.control import Reply


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    process.open_standard_descriptors()
    match arguments:
        case [] | ["-h"] | ["--help"] | ["help"]:
            from codetainer_tui.arguments import overview

            sys.stdout.write(overview())
            return 0 if arguments else EXIT_CODE
        case ["--version"]:
            from backend.contract.version import VERSION

            sys.stdout.write(f"codetainer {VERSION}\n")
            return 0
        case [verb, *rest] if verb in BACKEND_VERBS:
            return backend(verb, rest)
        case ["help", verb, *_]:
            return main([verb, "--help"])
        case _:
            return run(arguments)


def run(words: list[str]) -> int:
    from codetainer_tui.arguments import VERBS, parser

    if words[0] not in VERBS:
        return _no_verb(words[0], VERBS)
    options = parser().parse_args(words)
    try:
        return FUNCTIONS.get(options.verb, request)(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        process.silence(1)  # the reader has gone; the flush at the end must not report that
        return 141


def _no_verb(word: str, verbs: tuple[str, ...]) -> int:
    from codetainer_tui.words import harmless

    near = nearest(word, verbs)
    reason = "a verb comes first" if word.startswith("-") else "there is no such verb"
    suggestion = f"did you mean codetainer {near}?" if near else ""
    sys.stderr.write(wrong(f"cannot run {harmless(word)}: {reason}", suggestion, "codetainer --help lists the verbs"))
    return EXIT_CODE


# --- processes ---


def backend(verb: str, arguments: list[str]) -> int:
    """Replaces this process by the backend, with the arguments unchanged."""
    process.become(process.backend(verb, *arguments))
    return 1


def boot(options: argparse.Namespace) -> int:
    from codetainer_tui import boot as verb

    settings = {"CODETAINER_ON_FAILURE": options.on_failure, "CODETAINER_DEBUG": "on" if options.debug else ""}
    process.change_environment({name: value for name, value in settings.items() if value})
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
    if options.before:
        return verb.before_resume(Paths(), as_json=options.json)
    if options.traffic:
        return verb.traffic(Paths(), go_on=options.follow, as_json=options.json)
    return verb.logs(Paths(), go_on=options.follow, as_json=options.json, serious=options.serious)


def report(options: argparse.Namespace) -> int:
    from codetainer_tui import report as verb

    return verb.run(
        Paths(), journal=options.journal, since=options.since, task=options.task, html=options.html, as_json=options.json,
        notify=options.notify,
    )  # fmt: skip


def traffic(options: argparse.Namespace) -> int:
    from codetainer_tui import traffic as verb

    return verb.traffic(Paths(), as_json=options.json)


def verify(options: argparse.Namespace) -> int:
    from codetainer_tui import verify as verb

    return verb.verify(Paths(), options.files, head=options.head, key=options.key, as_json=options.json)


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


# --- requests to a running sandbox ---


def request(options: argparse.Namespace) -> int:
    """Sends the request that a verb stands for, and prints the reply."""
    from codetainer_tui.ask import tell

    return tell(_ask(options))


def _ask(options: argparse.Namespace) -> Reply:
    from codetainer_tui.ask import ask

    cls = options.request
    return ask(Paths().control, cls(**{name: getattr(options, name) for name in cls.arguments()}))


def allowed(options: argparse.Namespace) -> int:
    from codetainer_tui import allowed as verb
    from codetainer_tui.ask import tell

    reply = _ask(options)
    if not reply.ok:
        return tell(reply)
    sys.stdout.write(verb.as_json(reply) if options.json else verb.table(reply))
    return 0


def budget(options: argparse.Namespace) -> int:
    import json

    from codetainer_tui.ask import tell

    reply = _ask(options)
    if not reply.ok or not options.json:
        return tell(reply)
    sys.stdout.write(json.dumps(dict(reply.data), indent=2) + "\n")
    return 0


def learned(options: argparse.Namespace) -> int:
    """Prints the allowlist of a learning run, or writes it to a file that must not exist."""
    from pathlib import Path

    from codetainer_tui.ask import tell

    reply = _ask(options)
    if not reply.ok:
        return tell(reply)
    text = str(reply.data.get("text", ""))
    if not options.output:
        sys.stdout.write(text)
        return 0
    try:
        with Path(options.output).open("x", encoding="ascii") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        sys.stderr.write(wrong(f"cannot write {options.output!a}: {reason}", "Name a file that does not exist."))
        return 1
    return 0


def explain(options: argparse.Namespace) -> int:
    """The exit code is the answer."""
    from codetainer_tui.ask import tell

    reply = _ask(options)
    return 2 if tell(reply) else 0 if reply.data.get("open") else 1


def acknowledge(_: argparse.Namespace) -> int:
    from codetainer_tui import acknowledge as verb

    return verb.acknowledge(Paths())


def work(options: argparse.Namespace) -> int:
    import json

    from codetainer_tui.ask import tell
    from codetainer_tui.view import stakes

    reply = _ask(options)
    if not reply.ok:
        return tell(reply)
    sys.stdout.write(json.dumps(reply.data) + "\n" if options.json else stakes.table(reply))
    return 1 if reply.data.get("problem") else 0


def session(options: argparse.Namespace) -> int:
    from codetainer_tui import restart

    return request(options) if options.yes or restart.agreed(Paths()) else 1


FUNCTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        boot, attach, dashboard, status, logs, report, traffic, suggest, verify, metrics, ssh_config, allowed, budget, learned,
        explain,
        acknowledge, work, session,
    )
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
