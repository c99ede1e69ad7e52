"""Claude Code's status line: model, context used, session name, and the number of refusals in the last minutes.

    python3 -I -S statusline.py REPORT JOURNAL

Claude Code starts it after every message, with a JSON object on stdin (https://code.claude.com/docs/en/statusline), and shows
the first line that it prints. A learning run is first, in red. The same facts go to REPORT, for the dashboard; the file belongs
to the agent and is untrusted. Faulty input shortens the line but never damages Claude's screen.
"""

import json
import os
import sys
import time

MAX_INPUT = 1 << 20
TAIL_BYTES = 64 << 10  # of the journal: a few hundred refusals, read in well under a millisecond
MINUTES = 10
BAR_CELLS = 10
MAX_TEXT = 48
LEARNING, LEARNED_FILE = "LEARNING RUN", "learned.conf"  # the file exists beside the journal only in a learning run
UNKNOWN = "unknown (reftable)"

GREEN, YELLOW, RED, DIM, PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def clean(value: object, limit: int = MAX_TEXT) -> str:
    """Makes untrusted text safe for a terminal: printable, one line, at most `limit` characters."""
    text = "".join(character if character.isprintable() else "?" for character in value) if isinstance(value, str) else ""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number(value: object) -> float:
    """The value as a float, -1 if it is not a number, is negative or is too large to show."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e15:
        return -1.0
    return float(value)


def field(value: object, *names: str) -> object:
    """The value at the path `names` in nested objects, None if the input has a different structure."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def facts(status: object, names: str, now: float) -> dict[str, str | float]:
    """The contents of the report. `names` is the folder in which the session namer stores one file per session."""
    session = clean(field(status, "session_id"), 64)
    return {
        "at": round(now, 3),
        "session_id": session,
        "name": session_name(names, session),
        "model": clean(field(status, "model", "display_name")) or clean(field(status, "model", "id")),
        "context_percent": number(field(status, "context_window", "used_percentage")),
        "cost_usd": number(field(status, "cost", "total_cost_usd")),
        "branch": branch(field(status, "workspace", "current_dir")),
    }


def branch(folder: object) -> str:
    """The branch that is checked out in a folder, "" if there is none."""
    try:
        with open(f"{folder}/.git/HEAD", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            name = file.read(200).strip().partition("ref: refs/heads/")[2]
    except (OSError, ValueError):
        return ""
    return branch_in_tables(str(folder)) if name == ".invalid" else clean(name)


def branch_in_tables(folder: str) -> str:
    """The branch in a repository that keeps its refs in tables (reftable). Only git since 2.45 can tell, and it is asked."""
    import subprocess  # costs 5 ms

    command = ["git", "-C", folder, "symbolic-ref", "--quiet", "--short", "HEAD"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=2)
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    return clean(done.stdout.strip()) if done.returncode < 2 else UNKNOWN  # 1: no branch is checked out


def session_name(names: str, session: str) -> str:
    if not session.replace("-", "").isalnum():
        return ""
    try:
        with open(f"{names}/{session}", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 (pathlib costs 5 ms)
            return clean(file.read(MAX_TEXT).strip())
    except OSError:
        return ""


def refusals(journal: str, now: float) -> tuple[int, str, bool]:
    """The number of refusals in the last minutes, the latest target, and whether the journal's tail reaches back so far."""
    try:
        with open(journal, "rb") as file:  # noqa: PTH123
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).split(b"\n")
    except OSError:
        return 0, "", True
    complete = start == 0
    count, latest = 0, ""
    for line in reversed(lines if complete else lines[1:]):
        if b'"kind":"refused"' not in line:
            continue
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if number(field(event, "at")) < now - MINUTES * 60:
            complete = True
            break
        count += max(0, int(number(field(event, "count"))))
        latest = latest or clean(field(event, "name"), 32) or clean(field(event, "address"), 32)
    return count, latest, complete


def bar(percent: float) -> str:
    """The context used, as a bar: green up to 65 %, yellow up to 85 %, red above."""
    if percent < 0:
        return ""
    shown = min(percent, 100.0)
    colour = GREEN if shown <= 65 else YELLOW if shown <= 85 else RED
    full = round(shown * BAR_CELLS / 100)
    return f"{colour}{'█' * full}{'░' * (BAR_CELLS - full)} {shown:.0f} %{PLAIN}"


def line(report: dict[str, str | float], refused: tuple[int, str, bool], *, learning: bool = False) -> str:
    count, latest, complete = refused
    parts = [f"{RED}{LEARNING}{PLAIN}"] if learning else []
    parts += [str(report["model"]), bar(float(report["context_percent"])), str(report["name"])]
    if count:
        at_least = "" if complete else "more than "
        parts.append(f"{RED}{at_least}{count} refused in {MINUTES} min{PLAIN}{DIM}, last {latest}{PLAIN}")
    return f" {DIM}·{PLAIN} ".join(part for part in parts if part)


def write_report(path: str, report: dict[str, str | float]) -> None:
    """Replaces the report atomically. Two of these programs may run at once, so each has its own temporary file."""
    new = f"{path}.{os.getpid()}"
    try:
        with open(new, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(report, file)
        os.replace(new, path)  # noqa: PTH105
    except OSError:
        return  # no folder, or a full tmpfs: the dashboard can do without, and Claude's screen must not be disturbed


def respond(data: bytes, path: str, journal: str, now: float) -> str:
    """Writes the report to `path` and returns the status line, both for the JSON that Claude Code wrote to stdin."""
    try:
        status = json.loads(data)
    except (ValueError, RecursionError):
        status = None
    report = facts(status, f"{path.rpartition('/')[0]}/names", now)
    write_report(path, report)
    learning = os.path.exists(f"{journal.rpartition('/')[0]}/{LEARNED_FILE}")  # noqa: PTH110
    return line(report, refusals(journal, now), learning=learning)


def main() -> None:
    path, journal = sys.argv[1:3]
    shown = respond(sys.stdin.buffer.read(MAX_INPUT), path, journal, time.time())
    sys.stdout.buffer.write(shown.encode("utf-8", "replace") + b"\n")


if __name__ == "__main__":
    main()
