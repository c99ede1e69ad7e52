"""The notifier without processes: events become deliveries, an outage keeps them, errors stay in the notifier."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from backend.contract import events as e
from backend.contract.paths import Paths
from backend.journal import Journal
from backend.notify import messages
from backend.notify.notifier import Notifier, Sources
from backend.notify.protocol import Outcome
from backend.notify.rendering import Notification
from backend.settings.values import ReportTime
from backend.system import SystemFailure
from network.destinations import Destination
from network.service_addresses import parse

NO_REPORT = ReportTime()
ADDRESSES = "ntfys://topic-one ntfys://topic-two"


class Recording(Notifier):
    """Keeps what senders would deliver. `outcomes` are the results by topic, DELIVERED unless set."""

    outcomes: dict[str, Outcome]
    sent: list[tuple[str, Notification]]
    changed: asyncio.Event

    async def _send(self, to: Destination, what: Notification) -> Outcome:
        topic = to.url.partition("?")[0].rpartition("/")[2]
        self.sent.append((topic, what))
        self.changed.set()
        return self.outcomes.get(topic, Outcome.DELIVERED)


@contextlib.asynccontextmanager
async def running(
    tmp_path: Path,
    question: Callable[[], tuple[str, ...]] = tuple,
    *,
    with_text: bool = False,
    report: ReportTime = NO_REPORT,
    wall: Callable[[], float] = time.time,
) -> AsyncIterator[tuple[Recording, Journal]]:
    async def asks() -> tuple[str, ...]:
        return question()

    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    journal = Journal(paths)
    sources = Sources(lambda: (), asks, lambda text: text.replace("hunter2", "<SECRET>"), lambda: "abc123", wall)
    notifier = Recording(parse(ADDRESSES), paths, sources, journal.emit, name="night", with_text=with_text, report=report)
    notifier.outcomes, notifier.sent, notifier.changed = {}, [], asyncio.Event()
    journal.observer = notifier.hear
    task = asyncio.create_task(notifier.run())
    try:
        yield notifier, journal
    finally:
        task.cancel()
        await asyncio.wait((task,), timeout=5)
        journal.close()
    assert task.cancelled()


async def until(notifier: Recording, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            notifier.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(notifier.changed.wait(), 0.05)


HALTED = e.BootFinished(e.BootState.HALTED, 1.0, "rules", "no nft: hunter2")


async def test_an_event_reaches_every_address_without_secrets(tmp_path: Path) -> None:
    async with running(tmp_path) as (notifier, journal):
        journal.emit(HALTED)
        await until(notifier, lambda: (journal.state.notifications or e.NotificationsMeasured(0)).delivered == 2)
        assert {topic for topic, _ in notifier.sent} == {"topic-one", "topic-two"}
        (one, two) = (what for _, what in notifier.sent)
        assert one == two
        assert one.title == "night: boot halted: at rules. The agent is not started, and everything is closed"
        assert "journal abc123" in one.body


async def test_an_address_that_fails_keeps_its_messages_and_holds_up_no_other(tmp_path: Path) -> None:
    async with running(tmp_path) as (notifier, journal):
        notifier.outcomes["topic-two"] = Outcome.DENIED
        journal.emit(HALTED)
        await until(notifier, lambda: bool((journal.state.notifications or e.NotificationsMeasured(0)).failing))
        await until(notifier, lambda: (journal.state.notifications or e.NotificationsMeasured(0)).delivered == 1)
        state = journal.state.notifications
        assert state is not None
        assert (state.waiting, dict(state.failing)) == (1, {"address 2 (ntfys)": Outcome.DENIED.words})
        notifier.outcomes.clear()
        results = await notifier.send_now(messages.test(1.0))  # a service that is back gets what waits at once
        assert [one.outcome for one in results] == [Outcome.DELIVERED] * 2
        await until(notifier, lambda: (journal.state.notifications or e.NotificationsMeasured(0)).waiting == 0)
        assert sum("boot halted" in what.title for topic, what in notifier.sent if topic == "topic-two") == 2
        assert sum("boot halted" in what.title for topic, what in notifier.sent if topic == "topic-one") == 1


async def test_the_end_sends_everything_as_one_notification(tmp_path: Path) -> None:
    """A task that is cancelled right after an event must not send it, or the end would be two notifications."""
    async with running(tmp_path) as (notifier, journal):
        await until(notifier, lambda: True)
    journal.emit(e.Stopping("SIGTERM"))
    journal.emit(e.SaveSkipped(covered=True))
    await notifier.last(10.0)
    assert len(notifier.sent) == 2
    for _, what in notifier.sent:
        assert "the sandbox stops: SIGTERM" in what.body
        assert "without saving unsaved work" in what.body


async def test_a_cancellation_at_the_moment_of_an_event_is_not_lost(tmp_path: Path) -> None:
    async with running(tmp_path) as (notifier, journal):
        journal.emit(e.SessionChanged(e.SessionState.WAITS))  # has to settle, so `run` waits for a time
        for _ in range(5):
            await asyncio.sleep(0)
        journal.emit(e.Stopping("SIGTERM"))
    assert notifier.sent == []


async def test_the_question_is_added_if_the_operator_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.notify.messages.SETTLE_SECONDS", 0.0)
    async with running(tmp_path, lambda: ("May I delete everything?",), with_text=True) as (notifier, journal):
        journal.emit(e.SessionChanged(e.SessionState.WAITS))
        await until(notifier, lambda: len(notifier.sent) == 2)
        assert all("May I delete everything?" in what.body for _, what in notifier.sent)


async def test_a_screen_that_cannot_be_read_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> tuple[str, ...]:
        raise SystemFailure("tmux hangs")

    monkeypatch.setattr("backend.notify.messages.SETTLE_SECONDS", 0.0)
    async with running(tmp_path, fails, with_text=True) as (notifier, journal):
        journal.emit(e.SessionChanged(e.SessionState.WAITS))
        await until(notifier, lambda: len(notifier.sent) == 2)
        assert all("waits for you" in what.body for _, what in notifier.sent)


async def test_an_error_does_not_stop_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(event: e.Event, context: messages.Context) -> messages.News:
        raise ValueError("a bug")

    async with running(tmp_path) as (notifier, journal):
        pass
    monkeypatch.setattr(messages, "news", fails)
    monkeypatch.setattr(messages, "is_relevant", lambda event: True)
    journal.emit(HALTED)
    assert journal.state.boot is e.BootState.HALTED
    with pytest.raises(ValueError, match="a bug"):
        await notifier.run()


async def test_without_a_ca_bundle_it_says_so_and_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as (notifier, journal):
        notifier.prepare()
        assert "cannot prepare notifications" in journal.state.notes[-1].text
        assert journal.state.notifications == e.NotificationsMeasured(2)
        notifier._paths.ca_bundle.parent.mkdir(parents=True)
        notifier._paths.ca_bundle.write_text("a bundle")
        notifier.prepare()
        assert notifier._paths.notifier_authorities.read_text() == "a bundle"


def reports(notifier: Recording) -> list[str]:
    return [what.body for topic, what in notifier.sent if topic == "topic-one" and "report on the last" in what.body]


async def test_a_report_is_sent_at_its_time_and_at_the_end(tmp_path: Path) -> None:
    later = [0.0]
    at = (time.time() + 3600.0) % 86400.0
    async with running(tmp_path, report=ReportTime(True, at), wall=lambda: time.time() + later[0]) as (notifier, journal):
        journal.emit(HALTED)
        await until(notifier, lambda: bool(notifier.sent))
        assert reports(notifier) == []
        later[0] = 3600.0
        journal.emit(HALTED)  # wakes the notifier, which looks at the clock once a minute by itself
        await until(notifier, lambda: len(reports(notifier)) == 1)
    later[0] = 7200.0
    journal.emit(e.Stopping("SIGTERM"))
    await notifier.last(10.0)
    assert len(reports(notifier)) == 2
    assert "report on the last 1 h" in reports(notifier)[1]


async def test_no_report_is_sent_unless_the_operator_wants_one(tmp_path: Path) -> None:
    async with running(tmp_path) as (notifier, journal):
        journal.emit(e.SessionChanged(e.SessionState.ENDED))
        await until(notifier, lambda: bool(notifier.sent))
    journal.emit(e.Stopping("SIGTERM"))
    await notifier.last(10.0)
    assert reports(notifier) == []
