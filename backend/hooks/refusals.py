"""Hook after a tool call: tells Claude what the sandbox refused meanwhile, why, and what to ask the operator for.

    python3 -I -S refusals.py REPORT JOURNAL

What counts is the journal, never a server's own 401 or 403. Each refusal is told once; how far is kept in `told` beside REPORT.
The journal is half a second behind: where the call looks as if the network had failed, its refusal is waited for.
Output: https://code.claude.com/docs/en/hooks (PostToolUse, additionalContext); nothing where nothing was refused.
"""

import json
import os
import re
import sys
import time

MAX_INPUT = 4 << 20
TAIL_BYTES = 64 << 10
RECENT_SECONDS = 120.0
WAIT_SECONDS = 2.5
BEHIND_SECONDS = 0.2  # what was refused just now is in the journal from here on
ENOUGH_SECONDS = 1.0  # that the refusal which the call's output names may come behind one that it does not
MAX_TOLD = 5
LOOKS_REFUSED = re.compile(
    r"codetainer:|resolve host|name or service not known|not resolve|ENOTFOUND|EAI_AGAIN|refused|ECONNRE|reset by peer|"
    r"unreachable|SSL_ERROR_SYSCALL|unexpected eof|timed out",
    re.IGNORECASE,
)
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
LISTABLE = ("not on the list", "port not listed", "expired")
PRIVATE = "private range"
ADVICE = {
    "never resolved": "connect by a name that is on the list; addresses are opened by names only",
    "not the operator's credential": "use the credentials of this environment as they are; no other one works here",
    "not granted to the agent": "the operator keeps this (approvals, settings, workflows to start, deletions): ask for it",
    PRIVATE: "private and metadata addresses are never opened",
    "another site on a listed address": "connect to names as DNS answers them; this one is not on the list",
    "too many at once to be read": "send less at once",
    "a port of the sandbox's own": "the sandbox's own services are not yours to speak to",
    "not TCP": "only TCP leaves, and names are resolved by the sandbox's own resolver",
    "IPv6": "nothing leaves over IPv6; use IPv4",
    "pushes go to OWNER/REPO only": "writes go to the sandbox's own repository; others the operator adds (CODETAINER_PUSH)",
}


def clean(value: object, most: int = 120) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in text)[:most]


def refusals(journal: str, after: float) -> list[dict[str, object]]:
    """The refusals of the journal's tail that are later than a moment, the oldest first."""
    try:
        with open(journal, "rb") as file:  # noqa: PTH123 (pathlib costs 5 ms)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        if b'"kind":"refused"' in line:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the first one may be cut
            # A listed name with a private address is the operator's matter: the sandbox itself finds out, again and again.
            if moment(event) > after and (event.get("via"), event.get("reason")) != ("dns", PRIVATE):
                found.append(event)
    return found


def moment(event: dict[str, object]) -> float:
    at = event.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def sentence(event: dict[str, object]) -> str:
    """What was refused, why, and what helps."""
    name, reason, port = clean(event.get("name")), clean(event.get("reason")), event.get("port")
    what = name or clean(event.get("address"))
    place = f"{what}:{port}" if isinstance(port, int) and port and what else what
    detail = clean(event.get("detail"))
    # Others than host names cannot be allowed, and whatever stands in the command may be pasted into a shell.
    if NAME.match(name) and reason in LISTABLE and not detail:
        ports = f" --port {port}" if isinstance(port, int) and port not in (0, 80, 443) else ""
        help_ = f"if the work needs it, ask the operator for: codetainer allow {name}{ports}"
    else:
        help_ = ADVICE.get(reason, "this is not open from here")
    return f"- {place}{f' ({detail})' if detail else ''}: {reason}. {help_[0].upper()}{help_[1:]}."


def message(events: list[dict[str, object]]) -> str:
    """For Claude; "" where nothing was refused."""
    said = list(dict.fromkeys(sentence(event) for event in reversed(events)))
    if not said:
        return ""
    more = [f"- and {len(said) - MAX_TOLD} more"] if len(said) > MAX_TOLD else []
    lines = [
        "The sandbox this runs in (Codetainer) refused network access during the last tool calls:", *said[:MAX_TOLD], *more,
        "It will be refused again: do not retry and do not look for a way around it. Go on with what works without it.",
    ]  # fmt: skip
    return "\n".join(lines)


def expected(events: list[dict[str, object]], result: str, began: float, now: float) -> bool:
    """Whether what made the call fail is among them: it is named in the output, or nothing else has come for a while."""
    fresh = [event for event in events if moment(event) > began - BEHIND_SECONDS]
    named = (clean(event.get("name")) or clean(event.get("address")) for event in fresh)
    return any(name and name in result for name in named) or (bool(fresh) and now - began > ENOUGH_SECONDS)


def told_until(path: str, now: float) -> float:
    """The moment up to which refusals were told; at most a little while ago."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            known = float(file.read(40))
    except (OSError, ValueError):
        known = 0.0
    return max(known if known <= now else 0.0, now - RECENT_SECONDS)


def respond(said_by_claude: bytes, report: str, journal: str, clock: object = time.time, sleep: object = time.sleep) -> str:
    """The hook's output, "" for none."""
    assert callable(clock) and callable(sleep)
    try:
        given = json.loads(said_by_claude)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(given, dict):
        return ""
    event = clean(given.get("hook_event_name")) or "PostToolUse"
    result = json.dumps([given.get("tool_response"), given.get("error")])
    path = f"{report.rpartition('/')[0]}/told"
    began = clock()
    after = told_until(path, began)
    deadline = began + (WAIT_SECONDS if LOOKS_REFUSED.search(result) else 0.0)
    found = refusals(journal, after)
    while clock() < deadline and not expected(found, result, began, clock()):
        sleep(0.1)
        found = refusals(journal, after)
    text = message(found)
    if not text:
        return ""
    try:
        with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(str(moment(found[-1])))
    except OSError:
        pass  # told twice then
    return json.dumps({"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}})


def main() -> None:
    report, journal = sys.argv[1:3]
    said = respond(sys.stdin.buffer.read(MAX_INPUT), report, journal)
    if said:
        sys.stdout.write(said + "\n")


if __name__ == "__main__":
    main()
