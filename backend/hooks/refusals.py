"""Claude Code hook after a tool call: reports what the sandbox refused during the call, why, and what the operator can do.

    python3 -I -S refusals.py REPORT JOURNAL

Only refusals in the journal count, not a server's own 401 or 403. Each is reported once; `told` beside REPORT holds the time of
the last one. The journal lags by half a second, so if the call's output looks like a network failure, the hook waits for it.
Output: https://code.claude.com/docs/en/hooks (PostToolUse, additionalContext), nothing if nothing was refused.
"""

import json
import os
import re
import sys
import time

sys.path.append(__file__.rpartition("/backend/")[0])  # for the only module of ours that it uses

from network import reasons

MAX_INPUT = 4 << 20
TAIL_BYTES = 64 << 10
RECENT_SECONDS = 120.0
WAIT_SECONDS = 2.5
BEHIND_SECONDS = 0.2  # a refusal this long before the hook started may still belong to the call
ENOUGH_SECONDS = 1.0  # after this time, stop waiting if any refusal has arrived, even one that the output does not name
MAX_REPORTED = 5
LOOKS_REFUSED = re.compile(
    r"codetainer:|resolve host|name or service not known|not resolve|ENOTFOUND|EAI_AGAIN|refused|ECONNRE|reset by peer|"
    r"unreachable|SSL_ERROR_SYSCALL|unexpected eof|timed out",
    re.IGNORECASE,
)
NOT_OPEN = "This is not open from here."
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")


def clean(value: object, limit: int = 120) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in text)[:limit]


def refusals(journal: str, after: float) -> list[dict[str, object]]:
    """The refusals in the journal's tail after a time (seconds since the epoch), oldest first."""
    try:
        with open(journal, "rb") as file:  # noqa: PTH123 (pathlib costs 5 ms)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).split(b"\n")
    except OSError:
        return []
    events = []
    for line in lines:
        if b'"kind":"refused"' in line:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the first line may be incomplete
            # Skips addresses of allowed names: the sandbox's own regular lookups cause these refusals, not the agent.
            if moment(event) > after and not (event.get("via") == "dns" and event.get("reason") in reasons.OF_RESOLVER):
                events.append(event)
    return events


def moment(event: dict[str, object]) -> float:
    at = event.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def sentence(event: dict[str, object]) -> str:
    """One refusal as a line for Claude: target, reason and advice."""
    name, reason, port = clean(event.get("name")), clean(event.get("reason")), event.get("port")
    host = name or clean(event.get("address"))
    target = f"{host}:{port}" if isinstance(port, int) and port and host else host
    detail = clean(event.get("detail"))
    # Only host names can be allowed. The operator may paste the command into a shell, so nothing else may get into it.
    listable = name if NAME.match(name) and not detail else ""
    remedy = reasons.advice(reason, listable, port if isinstance(port, int) else 0)
    return f"- {target}{f' ({detail})' if detail else ''}: {reasons.sentence(reason, remedy or NOT_OPEN)}"


def message(events: list[dict[str, object]]) -> str:
    """The text for Claude, latest refusal first; "" if nothing was refused."""
    sentences = list(dict.fromkeys(sentence(event) for event in reversed(events)))
    if not sentences:
        return ""
    more = [f"- and {len(sentences) - MAX_REPORTED} more"] if len(sentences) > MAX_REPORTED else []
    lines = [
        "This sandbox (Codetainer) refused network access during the last tool calls:", *sentences[:MAX_REPORTED], *more,
        "It will refuse the same again: do not retry and do not look for a way around it. Continue with what works without it.",
    ]  # fmt: skip
    return "\n".join(lines)


def expected(events: list[dict[str, object]], result: str, began: float, now: float) -> bool:
    """True if the events explain the failed call: its output names one of them, or no other has arrived for a while."""
    fresh = [event for event in events if moment(event) > began - BEHIND_SECONDS]
    named = (clean(event.get("name")) or clean(event.get("address")) for event in fresh)
    return any(name and name in result for name in named) or (bool(fresh) and now - began > ENOUGH_SECONDS)


def told_until(path: str, now: float) -> float:
    """The time of the last refusal that was reported, or RECENT_SECONDS ago if that is later or the file is unusable."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            last = float(file.read(40))
    except (OSError, ValueError):
        last = 0.0
    return max(last if last <= now else 0.0, now - RECENT_SECONDS)


def respond(data: bytes, report: str, journal: str, clock: object = time.time, sleep: object = time.sleep) -> str:
    """The hook's output for the JSON on its stdin, "" for none."""
    assert callable(clock) and callable(sleep)
    try:
        call = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(call, dict):
        return ""
    event = clean(call.get("hook_event_name")) or "PostToolUse"
    result = json.dumps([call.get("tool_response"), call.get("error")])
    path = f"{report.rpartition('/')[0]}/told"
    began = clock()
    after = told_until(path, began)
    deadline = began + (WAIT_SECONDS if LOOKS_REFUSED.search(result) else 0.0)
    events = refusals(journal, after)
    while clock() < deadline and not expected(events, result, began, clock()):
        sleep(0.1)
        events = refusals(journal, after)
    text = message(events)
    if not text:
        return ""
    try:
        with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(str(moment(events[-1])))
    except OSError:
        pass  # then they are reported twice
    return json.dumps({"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}})


def main() -> None:
    report, journal = sys.argv[1:3]
    output = respond(sys.stdin.buffer.read(MAX_INPUT), report, journal)
    if output:
        sys.stdout.write(output + "\n")


if __name__ == "__main__":
    main()
