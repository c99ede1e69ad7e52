"""Writes the journals that the screens are tested and drawn with: `python -m tests.journals.make`.

Each is the story of one boot, told in the backend's own events; documentation addresses and names only.

Length: a function for each story.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.contract import events as e
from backend.contract.events import BootState, Event, Outcome, Reason, Refused, ServiceState, SessionState, Stamped, Via

FOLDER = Path(__file__).parent
BEGUN = 1_767_276_000.0  # 2026-01-01 14:00 UTC
PLAN = (
    e.PlannedStep("closed", "Network closed"),
    e.PlannedStep("tmpfs", "Memory file systems", ("closed",)),
    e.PlannedStep("tools", "Tools", ("tmpfs",)),
    e.PlannedStep("list", "Allowlist", ("closed",)),
    e.PlannedStep("rules", "Firewall", ("closed", "list")),
    e.PlannedStep("guard", "Guard", ("rules",)),
    e.PlannedStep("names", "DNS (CoreDNS)", ("rules", "list")),
    e.PlannedStep("gate", "Gate", ("rules", "list")),
    e.PlannedStep("addresses", "Addresses", ("guard", "names")),
    e.PlannedStep("git", "Git, gh and npm", ("tmpfs",)),
    e.PlannedStep("claude", "Claude settings", ("tmpfs",)),
    e.PlannedStep("readonly", "Root read-only", ("tmpfs", "tools", "names", "gate", "git", "claude")),
    e.PlannedStep("clone", "Clone octo/repo", ("readonly", "addresses")),
    e.PlannedStep("readiness", "Readiness", ("readonly", "addresses")),
    e.PlannedStep("session", "Session", ("readiness", "clone", "claude", "tools")),
)
DETAILS = {
    "tmpfs": "/workspace 512 MB  /tmp 512 MB  /home/claude 1 GB",
    "tools": "node npm go",
    "list": "23 names",
    "rules": "upstream 198.51.100.53",
    "guard": "pid 41",
    "names": "23 names",
    "gate": "5 hosts with credentials",
    "addresses": "61 addresses of 23 names",
    "git": "codetainer <codetainer@noreply.github.com>",
    "readonly": "/proc shows the agent its own processes only",
    "clone": "main, 214 files",
    "readiness": "9 walls tried",
    "session": "claude above, a shell below",
}
LISTED = ("api.anthropic.com", "github.com", "api.github.com", "*.githubusercontent.com", "objects.example.com")
SECONDS = {"tmpfs": 0.1, "list": 0.02, "rules": 0.05, "guard": 0.25, "names": 0.4, "gate": 0.1, "addresses": 0.31,
           "readonly": 0.03, "clone": 1.9, "readiness": 0.6, "session": 0.2}  # fmt: skip

PROMPT = b"Fix the parser's handling of nested lists, add tests, and open a pull request."
PROMPTED: dict[str, Any] = {"prompt_sha256": hashlib.sha256(PROMPT).hexdigest(), "prompt_bytes": len(PROMPT)}
PROBES = (
    "unlisted name", "upstream resolver", "outside address", "another site", "request to the model", "credentials",
    "environments", "root read-only", "privileges", "platform", "system calls",
)  # fmt: skip

At = tuple[float, Event]


def started(upto: str = "") -> Iterator[At]:
    """A boot whose steps go well, up to but not including one of them. Times in seconds from its beginning."""
    yield 0.0, e.BootStarted("0.1.0", PLAN, "octo/repo", "outside", gate=True, pid=7)
    ended: dict[str, float] = {}
    for step in PLAN:
        if step.name == upto:
            return
        begin = max((ended[need] for need in step.needs), default=0.01)
        spent = SECONDS.get(step.name, 0.01)
        yield begin, e.StepStarted(step.name)
        if step.name == "list":
            yield begin + 0.01, e.ListRead(LISTED)
        if step.name == "names":
            yield begin + 0.05, e.ServiceChanged("coredns", ServiceState.STARTING)
            yield begin + 0.39, e.ServiceChanged("coredns", ServiceState.UP, 40)
        if step.name == "gate":
            yield begin + 0.05, e.ServiceChanged("gate", ServiceState.STARTING)
            yield begin + 0.09, e.ServiceChanged("gate", ServiceState.UP, 42)
        if step.name == "guard":
            yield begin + 0.05, e.ServiceChanged("guard", ServiceState.STARTING)
            yield begin + 0.24, e.ServiceChanged("guard", ServiceState.UP, 41)
        if step.name == "addresses":
            yield begin + 0.3, e.ListMeasured(23, 61, BEGUN + begin + 0.3, BEGUN + begin + 300)
        if step.name == "clone":
            for part in (10, 35, 62, 100):
                yield begin + part / 60, e.StepOutput("clone", f"Receiving objects: {part:>3}% ({part * 13}/1300)")
        yield begin + spent, e.StepFinished(step.name, Outcome.DONE, spent, DETAILS.get(step.name, ""))
        ended[step.name] = begin + spent


def ready(work: bool = True) -> Iterator[At]:
    yield from started()
    yield 4.2, e.SessionChanged(SessionState.UNKNOWN, "claude")
    yield 4.3, e.BootFinished(BootState.READY, 4.3)
    yield 4.3, e.LockReleased(True)
    if work:
        yield from worked()


def worked() -> Iterator[At]:
    """Two hours of work: refusals of every kind, measurements, and at last an agent that waits."""
    gib = 1 << 30
    tmpfs = {"/workspace": (118_111_600, gib // 2), "/tmp": (16_777_216, gib // 2), "/home/claude": (440_401_920, gib)}
    refusals = (
        (300, Refused(Via.DNS, Reason.NOT_LISTED, 3, "dns", "telemetry.example.net"), "node", 12),
        (1400, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "_dmarc.example.org", detail="TXT"), "", 2),
        (2900, Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", "169.254.169.254", 80, 1000), "curl", 4),
        (4700, Refused(Via.FIREWALL, Reason.NOT_TCP, 1, "udp", "", "203.0.113.20", 123, 1000), "", 9),
        (5400, Refused(Via.FIREWALL, Reason.PORT_NOT_LISTED, 1, "tcp", "files.example.org", "203.0.113.7", 8443), "curl", 2),
        (6900, Refused(Via.FIREWALL, Reason.NEVER_RESOLVED, 1, "tcp", "", "203.0.113.9", 22, 1000), "ssh", 1),
        (7440, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "telemetry.example.net"), "node", 6),
        (7500, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "pypi.example.org"), "pip", 3),
    )  # fmt: skip
    for at, refused, program, times in refusals:
        for again in range(times):
            yield at + again, replace(refused, program=program)
    yield 7520, e.Acknowledged(BEGUN + 7520, "", "root")
    yield 7560, e.NamesMeasured(4210, 3915, 41, 1.2, ("198.51.100.53",))
    yield 7561, e.ListMeasured(23, 61, BEGUN + 7440, BEGUN + 7740)
    yield 7562, e.SandboxMeasured(34.0, 1_288_490_188, 4 * gib, tmpfs, 31.0, 943_718_400, 12)
    yield 7563, e.ProofFinished(9)
    yield 7564, e.Carried("objects.example.com", 3, 0, 92_274_688, 12_288, BEGUN + 5200)
    yield 7565, e.Carried("github.com", 12, 0, 4_194_304, 122_880, BEGUN + 7480, True)
    yield 7566, e.Carried("api.anthropic.com", 412, 2, 19_083_264, 3_250_585, BEGUN + 7566, True)
    yield 7600, e.SessionChanged(SessionState.WAITS, "claude", BEGUN + 7590, "Opus 4.6", 42.0, 1.2, "main")


def degraded() -> Iterator[At]:
    yield from started("clone")
    at = 0.9
    yield at, e.StepStarted("clone")
    yield at + 0.4, e.StepOutput("clone", "remote: Repository not found.")
    yield at + 0.5, e.StepFinished(
        "clone", Outcome.WARNED, 0.5, "remote: Repository not found.", "Check that GH_PAT is valid for this repository."
    )  # fmt: skip
    yield at + 0.5, e.StepStarted("readiness")
    yield at + 1.1, e.StepFinished("readiness", Outcome.DONE, 0.6, DETAILS["readiness"])
    yield at + 1.1, e.StepStarted("session")
    yield at + 1.3, e.StepFinished("session", Outcome.DONE, 0.2, DETAILS["session"])
    yield at + 1.3, e.SessionChanged(SessionState.UNKNOWN, "claude")
    yield (
        at + 1.3,
        e.BootFinished(BootState.DEGRADED, 2.2, "clone", "remote: Repository not found.", "does GH_PAT reach octo/repo?"),
    )
    yield at + 1.3, e.LockReleased(True)
    yield 600, e.ServiceChanged("coredns", ServiceState.DOWN, 0, 2, "killed by SIGKILL")
    yield 601, e.ListMeasured(23, 58, BEGUN + 500, BEGUN + 800, {"objects.example.com": BEGUN + 200})
    yield 602, Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "registry.example.net", program="npm")


def halted() -> Iterator[At]:
    yield from started("clone")
    at = 0.9
    reason = "a connection to 198.51.100.9:443 was answered, it should have been refused"
    remedy = "Run codetainer check to see what the kernel lacks, and codetainer logs for what went before."
    yield at, e.StepStarted("clone")
    yield at, e.StepStarted("readiness")
    yield at + 0.6, e.ProofFinished(9, (reason,), remedy)
    yield at + 0.6, e.StepFinished("readiness", Outcome.FAILED, 0.6, reason, remedy)
    yield at + 0.6, e.StepFinished("clone", Outcome.CANCELLED, 0.6, "stopped: readiness failed")
    yield at + 0.6, e.StepFinished("session", Outcome.CANCELLED, 0.0, "not started: readiness failed")
    yield at + 0.6, e.BootFinished(BootState.HALTED, 1.5, "readiness", reason, remedy)
    yield at + 0.6, e.LockReleased(False)
    yield at + 0.7, e.ServiceChanged("gate", ServiceState.STOPPED)
    yield at + 0.7, e.ServiceChanged("guard", ServiceState.STOPPED)
    yield at + 0.7, e.ServiceChanged("coredns", ServiceState.STOPPED)


def booting() -> Iterator[At]:
    """Cut short in the middle of the clone."""
    for at, event in started("readiness"):
        if isinstance(event, e.StepOutput) and "100%" in event.line:
            return
        yield at, event
    return


def attacked() -> Iterator[At]:
    """Names and programs made to break a screen, and more destinations than one can hold."""
    yield from ready(work=False)
    nasty = (
        ("\x1b]0;owned\x07.example.net", "\x1b[31mcurl"),
        ("[bold red]READY[/].example", "[link=https://evil.example]node[/link]"),
        ("‮gro.elpmaxe.‬", "no​de"),
        ("a" * 63 + "." + "b" * 63 + ".example.com", "python3"),
        ("漢字.example", "ビルド"),
        ("line\nbreak.example", "tab\tbed"),
    )
    for number, (name, program) in enumerate(nasty):
        yield 122 + number, Refused(Via.DNS, Reason.NOT_LISTED, number + 1, "dns", name, program=program)
    for number in range(600):
        yield (
            60 + number * 0.1,
            Refused(
                Via.FIREWALL, Reason.NEVER_RESOLVED, 997, "tcp", "", f"203.0.113.{number % 250}", 1000 + number, 1000, "scan"
            ),
        )
    yield 130, Refused(Via.DNS, Reason.NOT_LISTED, 20000, "dns", "x7f3a9.exfil.example.net", detail="TXT", program="dig")
    yield 131, e.Allowed("pypi.example.org", until=BEGUN + 3731, by="root")
    yield 132, e.SessionChanged(SessionState.WORKS, "\x1b[2Jclaude", 0.0, "[red]Opus[/]", 97.0, 0.2, "‮main")


def flooded() -> Iterator[At]:
    """Four attempts at what nobody could allow, then noise that is meant to hide them."""
    yield from ready(work=False)
    yield 10, Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "telemetry.example.net", program="node")
    yield 95, Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "telemetry.example.net", program="node")
    yield 96, Refused(Via.DNS, Reason.NOT_LISTED, 40, "dns", "githud.com", program="curl")
    gate = ("api.github.com", "198.51.100.11", 443)
    yield 100, Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", "169.254.169.254", 80, 1000)
    yield 101, Refused(Via.GATE, Reason.NOT_OURS, 1, "tcp", *gate)
    yield 102, Refused(Via.GATE, Reason.PUSH_SCOPE, 2, "tcp", "github.com", "198.51.100.10", 443, detail="evil/repo")
    yield 103, Refused(Via.GATE, Reason.ANOTHER_SITE, 1, "tcp", "evil.example", "198.51.100.10", 443)
    for number in range(174):
        yield (
            104 + number * 0.01,
            Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", f"{number:024x}.t.example.org", program="python3"),
        )
    for number in range(520):
        yield 106 + number * 0.008, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", f"n{number}-{number * 7919 % 99991}.dev")
    for number in range(212):
        yield 111 + number * 0.01, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", f"h{number}.site{number % 37}.test")
    yield 115, e.SessionChanged(SessionState.WORKS, "claude", 0.0, "Opus 4.6", 12.0, 0.4, "main")


def night() -> Iterator[At]:
    """Eight hours of work: a grant, refusals, a budget that runs out until the operator adds to it, a freeze, and saves."""
    hour = 3600.0
    for at, event in started():
        yield at, replace(event, name="night", **PROMPTED) if isinstance(event, e.BootStarted) else event
    results = dict.fromkeys(PROBES, "")
    yield 8, e.BootFinished(BootState.READY, 8.0)
    yield 8, e.LockReleased(True, cloned=True)
    for number in range(16):
        yield 10 + number * hour / 2, e.ProofFinished(len(results), (), "", results)
    spells = (  # from which time on the agent does what
        (0, SessionState.WORKS), (95, SessionState.WAITS), (112, SessionState.WORKS), (170, SessionState.IDLE),
        (174, SessionState.WORKS), (201, SessionState.LIMITED), (232, SessionState.WORKS), (254, SessionState.WAITS),
        (276, SessionState.WORKS), (391, SessionState.IDLE), (400, SessionState.WORKS), (462, SessionState.WAITS),
    )  # fmt: skip
    yield 12, e.SessionChanged(SessionState.WORKS, "claude", BEGUN, "Opus 4.6", 30.0, 4.2, "parser")
    for (_, before), (at_minute, session) in itertools.pairwise(((0, SessionState.NONE), *spells)):
        at = 12 + at_minute * 60
        until = BEGUN + 231 * 60 if session is SessionState.LIMITED else 0.0
        detail = "HTTP 429" if session is SessionState.LIMITED else ""
        yield at, e.SessionMeasured(session, BEGUN + at, until, detail[-3:], detail=detail, before=before)
    yield 231 * 60 + 14, e.SessionResumed(1)
    for number in range(40):
        name = ("telemetry.example.net", "cdn.example.org", "api.tracker.example")[number % 3]
        yield 400 + number * 11.3 * 60, Refused(Via.DNS, Reason.NOT_LISTED, 1 + number % 5, "dns", name, program="node")
    gate = ("github.com", "198.51.100.10", 443)
    yield 2 * hour, Refused(Via.GATE, Reason.PUSH_SCOPE, 1, "tcp", *gate, detail="other/repo")
    yield 2 * hour + 300, e.Acknowledged(BEGUN + 2 * hour + 300, "", "alex")
    yield 5.5 * hour, Refused(Via.FIREWALL, Reason.PRIVATE, 2, "tcp", "", "169.254.169.254", 80, 1000)
    yield 1.6 * hour, e.Allowed("files.example.org", until=BEGUN + 3.6 * hour, by="alex", grant="read")
    yield 3.6 * hour, e.Withdrawn("files.example.org", e.TIME_UP)
    yield 7.5 * hour, e.Allowed("docs.example.net", by="alex", grant="read")
    yield 4 * hour, e.BudgetChanged(e.BudgetLevel.WARNED, "16.10 of 20 dollars")
    yield 4.2 * hour, e.BudgetChanged(e.BudgetLevel.USED_UP, "20 of 20 dollars")
    yield 4.6 * hour, e.BudgetRaised("20 dollars", "alex")
    yield 4.6 * hour, e.BudgetChanged(e.BudgetLevel.FINE, "20 of 40 dollars")
    yield 6.2 * hour, e.Froze(True, "alex")
    yield 6.4 * hour, e.Froze(False, "alex")
    yield 3 * hour, e.ServiceChanged("coredns", ServiceState.DOWN, 0, 1, "killed by signal 9")
    yield 3 * hour + 1, e.ServiceChanged("coredns", ServiceState.UP, 95, 1)
    yield 5.9 * hour, e.Wrote("github.com", "push to octo/repo: parser", "https://github.com/octo/repo/tree/parser")
    pull = "https://github.com/octo/repo/pull/17"
    yield 6 * hour, e.Wrote("api.github.com", "POST pulls in octo/repo", pull)
    for number in range(1, 8):
        yield number * hour, e.WorkSaved("wip/night", f"{number:040x}")
    left = e.SinceSave(f"{7:040x}", commits=1, files=2)
    work = e.RepositoryWork("/workspace/repo", "parser", commits=9, files=2, untracked=1)
    yield 7.9 * hour, e.WorkCounted((work, e.RepositoryWork("/workspace/notes", "main", untracked=3)), since=left)
    for name, connections, sent, received, credential in (
        ("api.anthropic.com", 412, 61_000_000, 9_400_000, True),
        ("github.com", 38, 1_900_000, 8_800_000, True),
        ("registry.example.org", 260, 410_000, 180_000_000, False),
    ):
        yield 7.9 * hour, e.Carried(name, connections, 0, received, sent, BEGUN + 7.9 * hour, credential=credential)
    yield 7.9 * hour, e.ModelUsed(412, 900_000, 310_000, 14_000_000, 31.40, ("31.40 of 40 dollars",), 0.785)
    yield 8 * hour, e.SandboxMeasured(3, 2 << 30, 8 << 30, {"/workspace": (300 << 20, 512 << 20)})


AT = BEGUN + 7660
CANNOT_GO_ON: dict[str, tuple[e.Event, ...]] = {  # after `ready`
    "limited": (
        e.SessionMeasured(
            SessionState.LIMITED, AT, AT + 7860, "429", "",
            "the API refuses calls of the model (429): the five-hour limit is reached", SessionState.WORKS,
        ),
    ),
    "resumed": (
        e.SessionMeasured(
            SessionState.LIMITED, AT - 3600, AT - 60, "429", "",
            "the API refuses calls of the model (429): the five-hour limit is reached", SessionState.WORKS,
        ),
        e.SessionResumed(2, AT + 120),
    ),
    "overloaded": (
        e.SessionMeasured(SessionState.OVERLOADED, AT - 90, 0.0, "529", "", "the API is overloaded (529)", SessionState.WORKS),
    ),
    "refused": (
        e.SessionMeasured(
            SessionState.REFUSED, AT - 600, 0.0, "401", "CLAUDE_CODE_OAUTH_TOKEN",
            "the API refuses CLAUDE_CODE_OAUTH_TOKEN (401): it is wrong, expired or revoked. "
            "Start the sandbox again with a valid CLAUDE_CODE_OAUTH_TOKEN.",
            SessionState.WORKS,
        ),
    ),
    "stuck": (
        e.SessionMeasured(
            SessionState.STUCK, AT - 1800, 0.0, "silent", "",
            "no answer of the API, no output and no child of Claude at work for 30 min", SessionState.WORKS,
        ),
    ),
}  # fmt: skip

OTHER_STATES: dict[str, tuple[e.Event, ...]] = {  # after `ready`, in which the agent waits
    "works": (
        e.SessionChanged(SessionState.WORKS, "claude", AT - 50, "Opus 4.6", 43.0, 1.3, "main"),
        e.SessionMeasured(SessionState.WORKS, AT - 50, before=SessionState.WAITS),
    ),
    "asks": (
        e.SessionChanged(
            SessionState.ASKS, "claude", AT - 300, screen=("Claude Code is starting", "Do you trust the files in this folder?"),
        ),
        e.SessionMeasured(SessionState.ASKS, AT - 300, before=SessionState.UNKNOWN),
    ),
    "ended": (
        e.SessionChanged(SessionState.ENDED, "claude", AT - 300, detail="Claude has ended (exit code 1)"),
        e.SessionMeasured(SessionState.ENDED, AT - 300, detail="Claude has ended (exit code 1)", before=SessionState.WORKS),
    ),
}  # fmt: skip


def learning() -> Iterator[At]:
    """A learning run: names that were opened, some of which answered, and one whose client pins its authorities."""
    for at, event in ready(work=False):
        yield at, replace(event, learning=True) if isinstance(event, e.BootStarted) else event
    reduced = "learning run: public names open when they are asked for"
    yield 5, e.ProofFinished(len(PROBES), (), "", dict.fromkeys(PROBES, ""), reduced)
    for number, (name, entry, program, why) in enumerate((
        ("packages.example.org", "packages.example.org:443 read POST:/-/audit", "npm", ""),
        ("files.example.net", "files.example.net:443 read", "curl", ""),
        ("pinned.example.com", "pinned.example.com:443 open", "\x1b[31magent", "a client refused the gate's certificate"),
        ("silent.example.org", "", "python3", ""),
    )):  # fmt: skip
        yield 20 + number, e.Learned(name, "", (program,))
        yield 21 + number, e.Learned(name, entry, (program,), "answered" if entry else "asked", why)
    yield 40, Refused(Via.DNS, Reason.PRIVATE, 1, "dns", "router.example.org", "192.168.7.7")
    yield 60, e.SessionChanged(SessionState.WORKS, "claude", 0.0, "Opus 4.6", 12.0, 0.4, "main")


JOURNALS = {
    "booting": booting, "ready": ready, "degraded": degraded, "halted": halted, "attacked": attacked, "flooded": flooded,
    "night": night,
    "learning": learning,
}  # fmt: skip


def text(story: Iterator[At]) -> str:
    ordered = sorted(enumerate(story), key=lambda item: (item[1][0], item[0]))
    return "".join(e.encode(Stamped(BEGUN + at, seq, event)) + "\n" for seq, (_, (at, event)) in enumerate(ordered, 1))


def main() -> None:
    for name, story in JOURNALS.items():
        (FOLDER / f"{name}.jsonl").write_text(text(story()))


if __name__ == "__main__":
    main()
