"""Problems as blocks of text: what is wrong, since when, why, and which key or command helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.contract.events import (
    CLAUDE,
    BootState,
    BudgetLevel,
    Largest,
    Outcome,
    ProtectionFailed,
    ServiceState,
    SessionState,
)
from backend.contract.state import State
from codetainer_tui.view import work
from codetainer_tui.view.headline import ASKS, GONE, SERVICES, frozen_words
from codetainer_tui.view.machinery import FULL, NEARLY_FULL, percent
from codetainer_tui.view.parts import Block, Tone
from codetainer_tui.view.session import CANNOT_GO_ON, limit_end
from codetainer_tui.words import ago, clock, clock_seconds, harmless, lasting, many, size


def blocks(state: State, now: float, *, supervised: bool = True) -> tuple[Block, ...]:
    """The problems of a state, the worst first."""
    problems: list[Block] = []
    if state.boot is not None and not supervised and not state.stopping:
        lines = ("This screen shows the last reported state.",)
        problems.append(Block(GONE, ago(state.updated_at, now), lines, Tone.BAD))
    if state.protection_failed is not None:
        problems.append(_protection_failed(state.protection_failed, state.protection_failed_at))
    elif state.boot is BootState.HALTED:
        problems.append(_halted(state))
    if state.frozen:
        lines = ("The agent's processes are stopped and every address is closed.",)
        problems.append(Block("Frozen", frozen_words(state), lines, Tone.BAD, ("F thaws it",)))
    problems += _learning(state)
    problems += _services(state, now)
    problems += _budget(state, now)
    problems += _warned(state)
    problems += _failing(state, now)
    problems += _notifications(state, now)
    problems += _full(state)
    if state.session is not None and state.session_state is SessionState.ENDED and not state.stopping:
        since = clock(state.session.since) if state.session.since else ""
        detail = harmless(state.session.detail, 200) or "The agent's session has ended."
        problems.append(Block("Session", since, (detail,), Tone.WARN, ("R restarts it",)))
    problems += _asks(state)
    problems += _measured(state, now)
    if state.agent_settings:
        settings = tuple(harmless(problem, 800) for problem in state.agent_settings)
        problems.append(Block("Claude Code's settings", "", settings, Tone.WARN))
    unsaved = work.block(state)
    if unsaved is not None:
        problems.append(unsaved)
    return tuple(problems)


def _learning(state: State) -> list[Block]:
    """The learning run, for as long as it lasts."""
    if not state.learning or state.stopping:
        return []
    opened = list(state.learned.values())
    answered, wide = sum(bool(one.entry) for one in opened), sum(bool(one.why_open) for one in opened)
    counts = [
        f"{many(len(opened), 'name')} opened",
        f"{answered} answered",
        *([f"{wide} open for any request"] if wide else []),
    ]
    lines = (
        "Every public name opens on ports 80 and 443 as soon as a program asks for it. The agent can send data anywhere.",
        f"{', '.join(counts)}. Run codetainer learned to read the allowlist.",
    )
    return [Block("Learning run", "", lines, Tone.BAD)]


def _halted(state: State) -> Block:
    step = state.steps.get(state.halted_step)
    title = harmless(step.title if step else state.halted_step or "Boot", 60)
    done = sum(s.outcome in (Outcome.DONE, Outcome.WARNED, Outcome.SKIPPED) for s in state.steps.values())
    missing = sum(s.outcome in (None, Outcome.CANCELLED) for s in state.steps.values())
    lines = [harmless(state.reason, 1000), "The agent was not started and nothing can leave."]
    if state.remedy:
        lines.append(harmless(state.remedy, 400))
    rest = f", {missing} not run" if missing else ""
    lines.append(f"{many(done, 'step')} done{rest} (b shows them)")
    return Block(title, "", tuple(lines), Tone.BAD, ("R retries",))


def _protection_failed(event: ProtectionFailed, at: float) -> Block:
    lines = [harmless(event.reason, 1000), "Everything is closed: the agent was stopped and nothing can leave."]
    if event.remedy:
        lines.append(harmless(event.remedy, 400))
    return Block("Protection failed", f"at {clock(at)}", tuple(lines), Tone.BAD, ("R retries",))


def _services(state: State, now: float) -> list[Block]:
    problems = []
    for service in state.services.values():
        if service.state in (ServiceState.DOWN, ServiceState.UNRESPONSIVE) and not state.needs_retry:
            at = state.services_at.get(service.service, 0.0)
            lines = [harmless(service.detail, 300)] if service.detail else []
            lines.append(CONSEQUENCES.get(service.service, ""))
            if service.state is ServiceState.DOWN:
                so_far = f" ({many(service.restarts, 'restart')} so far)" if service.restarts else ""
                lines.append(f"It is being restarted{so_far}.")
            name = SERVICES.get(service.service, service.service).removeprefix("the ").capitalize()
            name = {"coredns": "CoreDNS", "sshd": "sshd"}.get(service.service) or harmless(name, 30)
            since = ago(at, now) if at else ""
            problems.append(Block(f"{name} is {service.state}", since, tuple(line for line in lines if line), Tone.BAD))
    return problems


def _budget(state: State, now: float) -> list[Block]:
    """The budget of the model, if it is nearly or wholly used up."""
    change = state.budget
    if change is None or change.level is BudgetLevel.FINE:
        return []
    lines = [harmless(change.limit, 120)]
    if change.level is BudgetLevel.USED_UP:
        lines += [
            "The gate refuses further calls of the model.",
            "Run codetainer budget +20 to continue (+calls=100, +tokens=1M).",
        ]
        return [Block("The model's budget is used up", ago(state.budget_at, now), tuple(lines), Tone.BAD, _MORE)]
    return [Block("The model's budget is nearly used up", ago(state.budget_at, now), tuple(lines), Tone.WARN, _MORE)]


_MORE = ("+ adds to it",)


def _notifications(state: State, now: float) -> list[Block]:
    """The notification services that cannot be reached."""
    measured = state.notifications
    if measured is None or not measured.failing:
        return []
    lines = [f"{harmless(address, 40)}: {harmless(reason, 160)}" for address, reason in measured.failing.items()]
    waiting = f"{many(measured.waiting, 'message')} waiting. " if measured.waiting else ""
    lines.append(f"{waiting}Run codetainer notify --test to try again now.")
    return [Block("Notifications are not delivered", ago(measured.failing_since, now), tuple(lines), Tone.WARN)]


CONSEQUENCES = {
    "coredns": "DNS queries get no answer; open addresses stay open.",
    "guard": "No new addresses are opened; open addresses stay open.",
    "gate": "Connections to ports 80 and 443 fail.",
    "reader": "Requests to the model fail; other connections work.",
    "sshd": "SSH logins fail; docker exec and kubectl exec still work.",
    "metrics": "/metrics does not answer; this dashboard and codetainer logs still work.",
}


def _warned(state: State) -> list[Block]:
    return [
        Block(
            harmless(step.title, 60), "",
            tuple(harmless(text, 600) for text in (step.detail, step.remedy) if text),
            Tone.WARN, ("R retries", "b shows all steps"),
        )
        for step in state.steps.values()
        if step.outcome is Outcome.WARNED and state.boot is not BootState.BOOTING
    ]  # fmt: skip


def _failing(state: State, now: float) -> list[Block]:
    failing = state.list.failing if state.list else {}
    if not failing:
        return []
    reasons = state.list.reasons if state.list else {}
    ordered = sorted(failing.items(), key=lambda item: (item[0] != CLAUDE, item[0]))
    names = [
        f"{harmless(name, 80)}{f': {harmless(reasons[name], 200)},' if reasons.get(name) else ' '} for {lasting(now - since)}"
        for name, since in ordered
    ]
    more = [f"and {len(names) - 3} more"] if len(names) > 3 else []
    title = f"{many(len(names), 'allowed name')} without an address"
    return [Block(title, "", (*names[:3], *more), Tone.WARN, ("r resolves again",))]


def _asks(state: State) -> list[Block]:
    session = state.session
    if session is None or state.session_state is not SessionState.ASKS or state.stopping:
        return []
    lines = [
        "The task has not begun. Answer in the session; if nothing is asked there, a hook of the repository may hang.",
        *(["Its screen, in the agent's words:"] if session.screen else []),
        *(f"| {harmless(line, 160)}" for line in session.screen),
    ]
    return [Block(ASKS, clock(session.since) if session.since else "", tuple(lines), Tone.WARN, ("t shows the session",))]


def _measured(state: State, now: float) -> list[Block]:
    """A session that cannot go on: at a limit, with failing calls, with a refused credential, or stuck."""
    session = state.measured
    if session is None or session.state not in CANNOT_GO_ON or state.stopping or state.frozen:
        return []
    detail = harmless(session.detail, 400)
    lines = [f"{detail[:1].upper()}{detail[1:]}"]
    told = state.resumed
    if told is not None and told.next_at > session.until:  # otherwise the try has met a new limit
        did = (
            f"Could not tell Claude to continue: {harmless(told.problem, 200)}."
            if told.problem
            else "Claude was told to continue"
        )
        lines.append(f"{did}{'' if told.problem else ', but no call has passed yet.'} Next try: {clock_seconds(told.next_at)}.")
    elif session.state is SessionState.LIMITED:
        lines.append("When it is over, Claude continues, or is told to (unless CODETAINER_RESUME is off).")
    keys = ("t shows the session", *(("R restarts it",) if session.state is SessionState.STUCK else ()))
    title = f"{CANNOT_GO_ON[session.state]}{limit_end(session.until, now)}"
    tone = Tone.BAD if session.state is SessionState.REFUSED else Tone.WARN
    return [Block(title, f"since {clock(session.since)}", tuple(lines), tone, keys)]


def _full(state: State) -> list[Block]:
    measured = state.sandbox
    if measured is None:
        return []
    places = {"memory": (measured.memory_used, measured.memory_limit), **measured.tmpfs}
    amounts = [(place, used, whole, f"{size(used)} of {size(whole)}", "size") for place, (used, whole) in places.items()]
    amounts += [(place, used, whole, f"{used} of {whole} files", "files") for place, (used, whole) in measured.inodes.items()]
    return [
        Block(
            f"{harmless(place, 40)} is {'full' if percent(used, whole) >= FULL else 'nearly full'}", "",
            (f"{amount} used. {REMEDIES.get(place, '')}".rstrip(), *_largest(measured.largest.get(place, ()), unit)), Tone.WARN,
        )
        for place, used, whole, amount, unit in amounts
        if percent(used, whole) >= NEARLY_FULL
    ]  # fmt: skip


def _largest(parts: Sequence[Largest], unit: str) -> Iterator[str]:
    """What fills a file system, by `size` or by number of `files`. The agent chose the names."""
    each = []
    for part in parts:
        if bool(part.size) is (unit == "size"):
            amount = size(part.size) if part.size else many(part.files, "file")
            each.append(f"{harmless(part.path, 120) or 'deleted files that programs hold open'} ({amount})")
    if each:
        yield f"Largest: {', '.join(each)}."


REMEDIES = {
    "memory": "Stop processes, or delete files in /workspace, /tmp and /home: they use the same memory.",
    **{
        path: f"Delete files there, or raise {variable} for the next boot."
        for path, variable in (
            ("/workspace", "CODETAINER_TMPFS_WORKSPACE"),
            ("/tmp", "CODETAINER_TMPFS_TMP"),
            ("/home/claude", "CODETAINER_TMPFS_HOME"),
        )
    },
}
