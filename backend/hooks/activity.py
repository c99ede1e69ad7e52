"""Hook of Claude Code's: what the agent does from now on, for the dashboard.

    python3 -I -S activity.py REPORT STATE

STATE is works (UserPromptSubmit), waits (Stop, Notification) or idle (SessionStart). It is left in `activity.json` beside
REPORT, a file of the agent's own that nobody trusts. Claude Code waits for its hooks: this one does little and never fails.
"""

import json
import os
import sys
import time


def write(path: str, state: str, now: float) -> None:
    """Whole or not at all. A state that goes on keeps its beginning."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 (pathlib costs 5 ms)
            known = json.loads(file.read(1000))
        if isinstance(known, dict) and known.get("state") == state:
            return
    except (OSError, ValueError):
        pass
    new = f"{path}.{os.getpid()}"
    try:
        with open(new, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump({"state": state, "since": round(now, 3)}, file)
        os.replace(new, path)  # noqa: PTH105
    except OSError:
        return  # no folder, a full tmpfs: the dashboard goes without, Claude must not


def main() -> None:
    report, state = sys.argv[1:3]
    write(f"{report.rpartition('/')[0]}/activity.json", state, time.time())


if __name__ == "__main__":
    main()
