"""Answers `codetainer budget`: what the model has used, its limits, and what the operator adds to them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

from backend.contract.control import Budget, Reply
from backend.contract.events import BudgetRaised, Event, ServiceState
from backend.services.reader import PRICES, Reader
from network.gate import budget
from network.gate.budget import Account, Kind


def budget_reply(request: Budget, reader: Reader, emit: Callable[[Event], None], by: str) -> Reply:
    """Adds to the budget if the request asks for it. Returns what the model has used, and the limits."""
    if reader.service.state is ServiceState.STOPPED:
        return Reply(False, "the model's use is not counted: the gate does not read its requests in this sandbox")
    now = time.time()
    if request.more:
        try:
            amounts = budget.more(request.more)
        except ValueError as error:
            return Reply(False, f"cannot add to the budget: {error}", "Write +20 (US dollars), +calls=100 or +tokens=1M.")
        kinds = dict.fromkeys(str(limit.kind) for limit in reader.account.limits)
        if unlimited := [str(kind) for kind in amounts if kind not in kinds]:
            known = f"The limits are: {', '.join(kinds)}." if kinds else "Set CODETAINER_BUDGET for the next boot."
            return Reply(False, f"there is no limit of {' or '.join(unlimited)} to add to", known)
        reader.raise_limits(amounts)
        for kind, amount in amounts.items():
            emit(BudgetRaised(budget.shown(kind, amount), by))
    account = reader.account
    return Reply(True, "\n".join(_budget_lines(account, now)), data={
        **dataclasses.asdict(account.total), "limits": [limit.words(used) for limit, used in account.in_force(now)],
        "share": round(account.share(now), 3), "estimated": account.estimated, "unknown": list(account.unknown),
        "offer": _offer(account, now),
    })  # fmt: skip


def _offer(account: Account, now: float) -> dict[str, object]:
    """What to add next: as typed (`more`, "" without limits), in words, and the limits before and after."""
    amounts = account.sufficient(now)
    concerned = [number for number, limit in enumerate(account.limits) if limit.kind in amounts]

    def words(account: Account) -> list[str]:
        pairs = account.in_force(now)
        return [pairs[number][0].words(pairs[number][1]) for number in concerned]

    return {
        "more": budget.typed(amounts), "words": [budget.shown(kind, amount) for kind, amount in amounts.items()],
        "before": words(account), "after": words(account.raised(amounts, now)),
    }  # fmt: skip


def _budget_lines(account: Account, now: float) -> Iterator[str]:
    """What the model has used, its limits, and how far the numbers can be trusted."""
    total = account.total
    words = (budget.shown(kind, total.of(kind)) for kind in (Kind.CALLS, Kind.INPUT, Kind.CACHED, Kind.OUTPUT, Kind.COST))
    yield f"used: {', '.join(words)}"
    for limit, used in account.in_force(now):
        full = "; used up" if used.of(limit.kind) >= limit.amount else ""
        yield f"limit: {limit.words(used)}{full}"
    if not account.limits:
        yield "no limit is set (CODETAINER_BUDGET)"
    if account.estimated:
        yield f"{account.estimated} calls did not report their usage in full, so part of it is estimated"
    if account.unknown:
        yield f"no price is known for {', '.join(account.unknown)}, so these count as the most expensive model"
    yield f"cost is estimated from prices of {PRICES.date} ({PRICES.source})"
