"""Connects the notifier with the rest of the supervisor, and answers `codetainer notify`."""

from __future__ import annotations

import time

from backend.boot.steps import rules
from backend.context import Boot
from backend.contract.control import Notify, Reply
from backend.contract.events import NotificationsMeasured
from backend.journal import Journal
from backend.notify import messages
from backend.notify.notifier import Notifier, Sources, Tested
from backend.notify.rendering import clock
from backend.redaction import Redaction
from backend.session import session
from backend.settings.values import NotifyText


def begin(boot: Boot, journal: Journal) -> Notifier:
    """The notifier of a sandbox, which hears every event of the journal from now on."""
    settings = boot.settings

    async def question() -> tuple[str, ...]:
        if boot.session is None or boot.policy.frozen:
            return ()
        return await session.screen(boot.paths, boot.session)

    notifier = Notifier(
        settings.notify,
        boot.paths,
        Sources(lambda: rules.upstreams(boot), question, Redaction(settings.secret_values), lambda: journal.head),
        journal.emit,
        name=settings.name,
        with_text=settings.notify_text is NotifyText.ON,
        report=settings.report,
    )
    journal.observer = notifier.hear
    return notifier


async def notify_reply(request: Notify, notifier: Notifier, state: NotificationsMeasured | None) -> Reply:
    """Sends a test message or a report if the request asks for it, otherwise reports the state of the deliveries."""
    if request.report:
        return _tested(await notifier.send_now(messages.report(request.report, time.time())))
    if request.test:
        return _tested(await notifier.send_now(messages.test(time.time())))
    state = state or NotificationsMeasured(len(notifier.destinations))
    lines = [f"{state.delivered} delivered" + (f", the last at {clock(state.delivered_at)}" if state.delivered_at else "")]
    lines += [f"{address}: failing: {reason}" for address, reason in state.failing.items()]
    if state.waiting:
        lines.append(f"{state.waiting} waiting, next try with growing pauses")
    if state.dropped:
        lines.append(f"{state.dropped} dropped, because too many waited")
    addresses = [notifier.address(number) for number in range(len(notifier.destinations))]
    data = [{"address": a, "delivered": a not in state.failing, "reason": state.failing.get(a, "")} for a in addresses]
    return Reply(not state.failing, "\n".join(lines), data={"addresses": data})


def _tested(results: tuple[Tested, ...]) -> Reply:
    lines = [f"{one.address}: {'' if one.outcome == 0 else 'not delivered: '}{one.outcome.words}" for one in results]
    remedies = dict.fromkeys(one.outcome.remedy for one in results if one.outcome.remedy)
    data = [{"address": one.address, "delivered": one.outcome == 0, "reason": one.outcome.words} for one in results]
    ok = all(one.outcome == 0 for one in results)
    return Reply(ok, "\n".join(lines), " ".join(remedies), {"addresses": data, "at": time.time()})
