"""`python -m tests.soak.silence [MINUTES]`: real Claude Code while the API accepts each call and never answers (default: 60).

Prints each change of what the watchdog says, each call that reaches the API, and at the end what `codetainer status` and
Claude's screen show, before and after the API answers again. Needs root and build/claude.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from backend.contract.events import SessionMeasured, SessionResumed, SessionState
from tests.netns.sandbox import Running, eventually, start
from tests.netns.test_claude import PINNED, claude
from tests.netns.test_watchdog import ask

LOOK_SECONDS = 5.0
AFTERWARDS = 900.0  # seconds within which Claude must work again: its own pause between calls, and our longest one


def main(arguments: list[str]) -> int:
    minutes = float(arguments[0]) if arguments else 60.0
    with tempfile.TemporaryDirectory(prefix="codetainer-soak-") as name:
        sandbox = start(Path(name), f"silence-{os.getpid()}", "--claude", claude(PINNED), CODETAINER_STUCK="5m")
        try:
            return silence(sandbox, minutes * 60)
        finally:
            sandbox.stop()


def silence(sandbox: Running, seconds: float) -> int:
    """Asks something, and watches until the API answers again. Returns 1 if Claude does not go on then."""
    eventually("Claude Code's prompt", lambda: "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}" in sandbox.screen())
    since = ask(sandbox, f"please fail: silent {seconds:g}")
    begun, told = time.monotonic(), since
    calls_before = calls = 0
    shown = False
    while (passed := time.monotonic() - begun) < seconds + AFTERWARDS:
        for stamped in sandbox.stamped():
            if stamped.seq > told and isinstance(stamped.event, (SessionMeasured, SessionResumed)):
                told = stamped.seq
                say(passed, f"{stamped.event}")
        if (calls := sandbox.asked(kind="http", path="/v1/messages")) != calls_before:
            say(passed, f"{calls} calls have reached the API")
            calls_before = calls
        if passed > seconds - 2 * LOOK_SECONDS and not shown:
            shown = True
            say(passed, sandbox.codetainer("status").stdout + sandbox.screen())
        if passed > seconds and _waits_again(sandbox, since):
            say(passed, "Claude has gone on, and waits again\n" + sandbox.screen())
            return 0
        time.sleep(LOOK_SECONDS)
    say(passed, "Claude has not gone on\n" + sandbox.codetainer("status").stdout + sandbox.screen())
    return 1


def _waits_again(sandbox: Running, since: int) -> bool:
    states = [one.event.state for one in sandbox.stamped() if one.seq > since and isinstance(one.event, SessionMeasured)]
    return bool(states) and states[-1] is SessionState.WAITS


def say(seconds: float, text: str) -> None:
    print(f"{seconds / 60:5.1f} min  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
