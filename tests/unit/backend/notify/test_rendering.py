"""The text of a notification: the most urgent message first, bounded, without secrets."""

from __future__ import annotations

from backend.notify.messages import Kind, Message, Urgency
from backend.notify.rendering import MAX_BODY, MAX_TITLE, notification
from backend.redaction import Redaction

AT = 1795910400.0  # 2026-11-29 00:00:00 UTC


def test_one_message() -> None:
    message = Message(Kind.CLOSED, Urgency.URGENT, "boot halted: no nft", AT, ("Run codetainer check.",))
    what = notification([message], "night", str, head="abc123")
    assert what.title == "night: boot halted: no nft"
    assert what.body == (
        "2026-11-29 00:00:00 UTC  boot halted: no nft\n  Run codetainer check.\n\nsandbox night, journal abc123"
    )
    assert (what.type, what.priority) == ("failure", "max")


def test_several_messages_are_one_notification_named_after_the_most_urgent() -> None:
    messages = [
        Message(Kind.STARTED, Urgency.LOW, "has started", AT),
        Message(Kind.REFUSED, Urgency.HIGH, "serious refusal", AT + 1, count=41),
        Message(Kind.BUDGET, Urgency.NORMAL, "budget", AT + 2),
    ]
    what = notification(messages, "", str, lost=3)
    assert what.title == "codetainer: serious refusal (and 2 more)"
    assert "serious refusal (41 times)" in what.body
    assert "3 older messages were dropped" in what.body


def test_the_length_is_bounded() -> None:
    messages = [Message(Kind.REFUSED, Urgency.HIGH, "x" * 400, AT, ("y" * 400,) * 12) for _ in range(50)]
    what = notification(messages, "n" * 64, str)
    assert len(what.title) <= MAX_TITLE
    assert len(what.body) <= MAX_BODY
    assert what.body.endswith(f"sandbox {'n' * 64}")


def test_secrets_are_replaced() -> None:
    message = Message(Kind.WORK, Urgency.HIGH, "push with ghp_secret failed", AT, ("ghp_secret",))
    what = notification([message], "night", Redaction([("GH_PAT", "ghp_secret")]))
    assert "ghp_secret" not in what.title + what.body
    assert "<GH_PAT>" in what.title


def test_the_agents_text_displaces_no_message() -> None:
    screen = ("x" * 160,) * 12  # as long as CODETAINER_NOTIFY_TEXT permits
    messages = [
        Message(Kind.NEEDS_YOU, Urgency.HIGH, "the agent waits for you", AT, screen),
        Message(Kind.REFUSED, Urgency.HIGH, "serious refusal: 198.51.100.7:22: not listed", AT + 1),
        Message(Kind.WORK, Urgency.HIGH, "work could not be saved", AT + 2),
    ]
    what = notification(messages, "night", str, lost=2)
    assert "serious refusal" in what.body
    assert "the agent waits for you" in what.body
    assert "2 older messages were dropped" in what.body


def test_of_too_many_messages_the_most_urgent_are_shown() -> None:
    many = [Message(Kind.STARTED, Urgency.NORMAL, "n" * 80, AT + number) for number in range(48)]
    serious = Message(Kind.REFUSED, Urgency.HIGH, "serious refusal", AT + 50)
    urgent = Message(Kind.CLOSED, Urgency.URGENT, "a protection failed", AT + 51)
    assert "serious refusal" in notification([*many, serious, urgent], "night", str).body
