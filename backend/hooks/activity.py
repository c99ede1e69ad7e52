"""Claude Code hook that records the agent's new state for the dashboard.

    python3 -I -S activity.py REPORT STATE

STATE is works (UserPromptSubmit), waits (Stop, Notification), failed (StopFailure: an error of the API ended the turn) or idle
(SessionStart). It is written to `activity.json` beside REPORT, with the time since when, and the time at which the last turn
began (0: none has). Both files belong to the agent and are untrusted. Claude Code waits for its hooks, so this one is short and
never fails.
"""

import json
import os
import sys
import time

NAMING = "CODETAINER_NAMING"  # set in the Claude that names the session (session_namer.py), which is not the agent's work


def write(path: str, state: str, now: float) -> None:
    """Replaces the file atomically. If the state has not changed, `since` stays as it is."""
    turn = 0.0
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 (pathlib costs 5 ms)
            previous = json.loads(file.read(1000))
        if isinstance(previous, dict):
            if previous.get("state") == state:
                return
            if previous.get("state") == "failed" and state == "waits":
                return  # the notification that follows a minute later; a turn that ends well begins with `works`
            turn = previous.get("turn", 0.0)
    except (OSError, ValueError):
        pass
    new = f"{path}.{os.getpid()}"
    try:
        with open(new, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump({"state": state, "since": round(now, 3), "turn": round(now, 3) if state == "works" else turn}, file)
        os.replace(new, path)  # noqa: PTH105
    except OSError:
        return  # no folder, or a full tmpfs: the dashboard can do without, and Claude must not be disturbed


def main() -> None:
    if NAMING in os.environ:
        return
    report, state = sys.argv[1:3]
    write(f"{report.rpartition('/')[0]}/activity.json", state, time.time())


if __name__ == "__main__":
    main()
