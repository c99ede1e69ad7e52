"""Claude Code's status line: model, context used, session name, and what the sandbox refused in the last minutes.

    python3 -I -S statusline.py REPORT JOURNAL

Claude Code starts it after every message, with a JSON object on stdin (https://code.claude.com/docs/en/statusline), and shows
the first line it prints. The same facts go to REPORT, a file of the agent's own, for the dashboard; nobody trusts them.
Whatever is wrong with the input, the line gets shorter and Claude's screen stays whole.
"""

import json
import os
import sys
import time

MAX_INPUT = 1 << 20
TAIL_BYTES = 64 << 10  # of the journal: some hundred refusals, read in well under a millisecond
MINUTES = 10
BAR_CELLS = 10
MAX_TEXT = 48

GREEN, YELLOW, RED, DIM, PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def clean(value: object, most: int = MAX_TEXT) -> str:
    """Text of somebody else's, as it may stand on a terminal: printable, one line, bounded."""
    text = "".join(character if character.isprintable() else "?" for character in value) if isinstance(value, str) else ""
    return text if len(text) <= most else text[: most - 1] + "…"


def number(value: object) -> float:
    """A number that is none, or that no screen should show, is -1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e15:
        return -1.0
    return float(value)


def field(value: object, *names: str) -> object:
    """What lies under `names` in nested objects; None where the input has another shape."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def facts(given: object, names: str, now: float) -> dict[str, str | float]:
    """What the report says. `names` is the folder where the session namer leaves a file for each session."""
    session = clean(field(given, "session_id"), 64)
    return {
        "at": round(now, 3),
        "session_id": session,
        "name": session_name(names, session),
        "model": clean(field(given, "model", "display_name")) or clean(field(given, "model", "id")),
        "context_percent": number(field(given, "context_window", "used_percentage")),
        "cost_usd": number(field(given, "cost", "total_cost_usd")),
        "branch": branch(field(given, "workspace", "current_dir")),
    }


def branch(folder: object) -> str:
    """The branch that is checked out in a folder, "" where that cannot be told."""
    try:
        with open(f"{folder}/.git/HEAD", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return clean(file.read(200).strip().partition("ref: refs/heads/")[2])
    except (OSError, ValueError):
        return ""


def session_name(names: str, session: str) -> str:
    if not session.replace("-", "").isalnum():
        return ""
    try:
        with open(f"{names}/{session}", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 (pathlib costs 5 ms)
            return clean(file.read(MAX_TEXT).strip())
    except OSError:
        return ""


def refusals(journal: str, now: float) -> tuple[int, str, bool]:
    """How much was refused in the last minutes, what last, and whether the tail that was read reaches that far back."""
    try:
        with open(journal, "rb") as file:  # noqa: PTH123
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).split(b"\n")
    except OSError:
        return 0, "", True
    whole = start == 0
    count, latest = 0, ""
    for line in reversed(lines if whole else lines[1:]):
        if b'"kind":"refused"' not in line:
            continue
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if number(field(event, "at")) < now - MINUTES * 60:
            whole = True
            break
        count += max(0, int(number(field(event, "count"))))
        latest = latest or clean(field(event, "name"), 32) or clean(field(event, "address"), 32)
    return count, latest, whole


def bar(percent: float) -> str:
    """Context used: green to 65 %, yellow to 85 %, red above."""
    if percent < 0:
        return ""
    shown = min(percent, 100.0)
    colour = GREEN if shown <= 65 else YELLOW if shown <= 85 else RED
    full = round(shown * BAR_CELLS / 100)
    return f"{colour}{'█' * full}{'░' * (BAR_CELLS - full)} {shown:.0f} %{PLAIN}"


def line(said: dict[str, str | float], refused: tuple[int, str, bool]) -> str:
    count, latest, whole = refused
    parts = [str(said["model"]), bar(float(said["context_percent"])), str(said["name"])]
    if count:
        most = "" if whole else "more than "
        parts.append(f"{RED}{most}{count} refused in {MINUTES} min{PLAIN}{DIM}, last {latest}{PLAIN}")
    return f" {DIM}·{PLAIN} ".join(part for part in parts if part)


def write_report(path: str, said: dict[str, str | float]) -> None:
    """Whole or not at all: the dashboard may read at any moment. Two lines may be due at once, so each has its own new file."""
    new = f"{path}.{os.getpid()}"
    try:
        with open(new, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(said, file)
        os.replace(new, path)  # noqa: PTH105
    except OSError:
        return  # no folder, a full tmpfs: the dashboard goes without, Claude's screen must not


def respond(said_by_claude: bytes, report: str, journal: str, now: float) -> str:
    """The status line for what Claude Code wrote to stdin, with the report written on the way."""
    try:
        given = json.loads(said_by_claude)
    except (ValueError, RecursionError):
        given = None
    said = facts(given, f"{report.rpartition('/')[0]}/names", now)
    write_report(report, said)
    return line(said, refusals(journal, now))


def main() -> None:
    report, journal = sys.argv[1:3]
    shown = respond(sys.stdin.buffer.read(MAX_INPUT), report, journal, time.time())
    sys.stdout.buffer.write(shown.encode("utf-8", "replace") + b"\n")


if __name__ == "__main__":
    main()
