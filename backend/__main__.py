"""The processes behind `codetainer`: `python3 -I -m backend boot|guard|certificates|send-notification|...`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

from backend.contract.paths import Paths


def boot() -> int:
    """Boots the sandbox. Exit code 0: stopped; 1: boot halted or failed; 2: invalid settings or missing capabilities."""
    from backend import settings
    from backend.capabilities import CapabilitiesMissing
    from backend.memory import return_freed
    from backend.supervision import start
    from backend.system import AGENT, SystemFailure

    def complain(text: str) -> None:
        sys.stderr.write(f"codetainer: {text}\n")

    return_freed()
    try:
        return begin(start.main, settings.load(settings.environment(), Paths().credentials, hidden_from=AGENT), Paths())
    except settings.SettingsError as error:
        complain(str(error))
        return settings.EXIT_CODE
    except SystemFailure as error:
        complain(f"{error}" + (f"\n  {error.hint}" if error.hint else ""))
        return settings.EXIT_CODE if isinstance(error, CapabilitiesMissing) else 1


USAGE = "boot|guard|certificates|send-notification|work|suspension|suspend|export|up|enter|as-agent|check"
MAX_REPORTED = 512 << 10  # bytes; leaves room on stderr for an agent process's own message (system.MAX_AGENT_OUTPUT)


def observe_on_stderr(most: int) -> None:
    """Reports the commands of this process as lines on stderr. The reader, which knows the secrets, redacts them."""
    from backend import commands
    from backend.debug_log import DebugLines
    from backend.redaction import Redaction

    commands.observe(DebugLines(Redaction(()), most=most))


def begin(run: Callable[..., int], *arguments: object) -> int:
    """Calls a verb's function with the garbage collector on again. It skips all objects of the modules imported so far."""
    gc.freeze()
    gc.enable()
    return run(*arguments)


def main(argv: list[str]) -> int:
    gc.disable()  # during imports, which leave no garbage, it would run 40 times (25 ms of processor time)
    match argv:
        case [("guard" | "work") as verb, "--debug", *rest]:
            observe_on_stderr(MAX_REPORTED if verb == "work" else sys.maxsize)
            return main([verb, *rest])
        case ["suspension", *rest]:
            from backend.suspension.process import main as suspension

            return suspension(rest)
        case ["suspend", *rest]:
            from backend.sandbox.suspend import main as suspend

            return suspend(rest)
        case ["boot"]:
            return boot()
        case ["guard", *descriptors]:
            from backend.guard.process import run

            return begin(run, descriptors)
        case ["send-notification"]:
            from backend.notify.sender import main as send

            return begin(send)
        case ["certificates"]:
            from backend.services.certificates import main as certificates

            return begin(certificates)
        case ["certificates", "--sign"]:
            from backend.services.certificates import sign

            return begin(sign)
        case ["work", *rest]:
            from backend.work.process import main as work

            return begin(work, rest)
        case ["export", *rest]:
            from backend.work.export import main as export

            return begin(export, rest)
        case ["up", *rest]:
            from backend.sandbox.up import main as up

            return begin(up, rest)
        case ["enter", *rest]:
            from backend.sandbox.enter import main as enter

            return begin(enter, rest)
        case ["as-agent", *rest]:
            from backend.sandbox.as_agent import main as as_agent

            return begin(as_agent, rest)
        case ["check", *rest]:
            from backend.sandbox.check import main as check

            return begin(check, rest)
        case _:
            sys.stderr.write(f"usage: python3 -I -m backend {USAGE}\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
