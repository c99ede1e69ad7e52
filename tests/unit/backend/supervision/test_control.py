"""What the operator is told: that it was done, what stays as it was, and why something cannot be done."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from backend.contract.control import (
    Acknowledge,
    Allow,
    CountWork,
    ListAllowed,
    Mute,
    Revoke,
    SaveWork,
    WorkAtStake,
    decode_reply,
    encode_reply,
)
from backend.contract.durations import LONGEST
from backend.contract.events import (
    Allowed,
    Reason,
    Refused,
    Via,
    WorkSaved,
    build,
)
from backend.supervision import control, grants
from tests.unit.backend.supervision.parts import Case
from tests.unit.backend.supervision.target import STAKE, Saving, Target

SAVED_TEXT = "saved /workspace/repo to wip/x of octo/repo; it will be saved again when the sandbox stops"


@pytest.fixture
def target(case: Case) -> Target:
    return Target(case)


@pytest.mark.parametrize("seconds", [0.0, -0.0, -1.0, -1e300, LONGEST + 1, 1e300, float("inf"), float("nan")])
async def test_a_time_that_is_none_opens_and_mutes_nothing(target: Target, seconds: float) -> None:
    for request in (Allow("more.example", seconds=seconds), Mute("more.example", seconds)):
        reply = await target.ask(request)
        assert (reply.ok, reply.hint) == (False, control.HOW_LONG)
    assert (target.case.events, target.grants.granted, target.state.muted) == ([], {}, {})


async def test_a_name_that_anybody_can_register_is_opened_only_with_yes(target: Target) -> None:
    reply = await target.ask(Allow("*.co.uk"))
    assert (reply.ok, reply.text) == (False, "*.co.uk opens names that anybody can register")
    assert reply.hint == "Repeat it with --yes if that is meant."
    assert target.grants.granted == {}
    assert (await target.ask(Allow("*.co.uk", yes=True))).ok


async def test_what_is_opened_says_what_else_is_open(target: Target) -> None:
    assert (await target.ask(Allow("more.example"))).text == "more.example is open until it is revoked"
    again = await target.ask(Allow("more.example", "8443"))
    assert again.text == "more.example:8443 is open until it is revoked; also open: 443, 80 by more.example (by hand)"
    listed = await target.ask(Allow("always.example", "22"))
    assert listed.text == "always.example:22 is open until it is revoked; also open: 443, 80 by always.example (test:1)"
    assert target.case.parts.ports["more.example"] == {443, 80, 8443}


async def test_a_grant_that_replaces_another_says_until_when_that_was_open(target: Target) -> None:
    await target.ask(Allow("more.example", seconds=600.0))
    until = time.strftime("%H:%M", time.localtime(time.time() + 600))
    shorter = await target.ask(Allow("more.example", seconds=10.0))
    assert shorter.text.endswith(f"; was open until {until}")
    other = await target.ask(Allow("more.example", "443,8443"))
    assert other.text.startswith("more.example:443,8443 is open until it is revoked; was open on 443 until ")
    assert "was open" not in (await target.ask(Allow("more.example", "9000"))).text


async def test_what_is_opened_can_be_limited(target: Target) -> None:
    target.state = replace(target.state, gate=True)
    reply = await target.ask(Allow("more.example", "", 60.0, read=True, grant="POST:/x/**"))
    assert reply.text.startswith("more.example read POST:/x/** is open until"), reply
    assert "do not trust the gate's certificate" in reply.text
    reply = await target.ask(Allow("always.example", read=True))
    assert "the allowlist already grants any request" in reply.text
    rows = {row["name"]: row["grant"] for row in (await target.ask(ListAllowed())).data["entries"]}
    assert rows["more.example"] == "read POST:/x/**"
    (granted,) = target.case.grants.granted["more.example"]
    assert granted.entry.grants == (("read", "POST:/x/**"),)
    assert (Allowed("more.example", "", granted.until, "root", "read POST:/x/**")) in target.case.events


@pytest.mark.parametrize(
    ("request_", "gate", "text"),
    [
        (Allow("more.example", read=True), False, "CODETAINER_GATE=off"),
        (Allow("more.example", grant="post:/x"), True, "expected the method in capital letters"),
        (Allow("more.example", "22", read=True), True, "port 22 is opened by address"),
    ],
)
async def test_what_cannot_be_limited_is_not_opened(target: Target, request_: Allow, gate: bool, text: str) -> None:
    target.state = replace(target.state, gate=gate)
    reply = await target.ask(request_)
    assert not reply.ok
    assert text in reply.text
    assert target.case.grants.granted == {}


async def test_a_grant_below_a_wider_entry_closes_nothing(target: Target) -> None:
    """The narrowest entry decides, so it has to grant what the wider one does."""
    target.state = replace(target.state, gate=True)
    await target.ask(Allow("*.wide.example", grant="POST:/x"))
    await target.ask(Allow("a.wide.example", read=True))
    in_force = target.case.grants.allowlist.match("a.wide.example")
    assert in_force is not None
    assert in_force.grants == (("read", "POST:/x"),)
    await target.ask(Revoke("*.wide.example"))
    in_force = target.case.grants.allowlist.match("a.wide.example")
    assert in_force is not None
    assert in_force.grants == (("read",),)


async def test_allowed_has_each_with_an_end_of_its_own(target: Target) -> None:
    await target.ask(Allow("always.example", "22", 60.0))
    await target.ask(Allow("always.example", "8443"))
    entries = (await target.ask(ListAllowed())).data["entries"]
    assert [(one["name"], one["ports"], one["source"], bool(one["until"])) for one in entries] == [
        ("always.example", "443,80", "test:1", False),
        ("always.example", "22", "by hand, by root", True),
        ("always.example", "8443", "by hand, by root", False),
    ]
    assert [one["until"] is None for one in entries] == [True, False, False]


async def test_a_revoke_says_what_stays_open_and_what_closes_that(target: Target) -> None:
    await target.ask(Allow("always.example", "443,8443"))
    done = await target.ask(Revoke("always.example"))
    assert done.ok
    assert done.text == (
        "what was allowed by hand of always.example is closed again, but it stays open on 443, 80 by always.example (test:1). "
        "Take it off the allowlist and start the sandbox again, or run "
        "codetainer freeze to close everything now."
    )
    assert done.data["open"] == [{"name": "always.example", "ports": "443,80", "source": "test:1"}]
    assert target.case.parts.ports["always.example"] == {443, 80}


REVOKES = [
    ("always.example", "always.example was not allowed by hand; it is open on 443, 80 by always.example (test:1)",
     "Take it off the allowlist and start the sandbox again"),
    ("never.example", "never.example was not allowed by hand, and is not open", "Run codetainer allowed to see what is."),
    ("a.below.example", "a.below.example was not allowed by hand; it is open on 443, 80 by *.below.example (by hand)",
     "Run codetainer revoke '*.below.example' to close it"),
    ("*.always.example", "*.always.example was not allowed by hand, and is not open", "codetainer allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "hint"), REVOKES)
async def test_what_was_not_allowed_by_hand_is_said_to_be_open_or_not(target: Target, name: str, text: str, hint: str) -> None:
    await target.ask(Allow("*.below.example"))
    reply = await target.ask(Revoke(name))
    assert (reply.ok, reply.text) == (False, text)
    assert hint in reply.hint


async def test_ports_are_revoked_by_themselves(target: Target) -> None:
    await target.ask(Allow("more.example", "443,8443"))
    done = await target.ask(Revoke("more.example", "8443"))
    assert done.text.startswith("what was allowed by hand of more.example:8443 is closed again, but it stays open on 443 by")
    assert "Run codetainer revoke more.example to close it" in done.text
    assert (await target.ask(Revoke("more.example:443"))).text == "more.example:443 is closed again"
    assert not (await target.ask(Revoke("more.example", "8443"))).ok


async def test_a_revoke_that_a_part_does_not_take_says_so(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "PATIENCE_SECONDS", 0.0)
    await target.ask(Allow("more.example"))
    target.case.parts.down = {"guard"}
    reply = await target.ask(Revoke("more.example"))
    assert (reply.ok, "may still be open: guard is down" in reply.text) == (False, True)
    (entry,) = [one for one in (await target.ask(ListAllowed())).data["entries"] if one["name"] == "more.example"]
    assert entry["source"] == "by hand, by root; being closed, by root"


METADATA = Refused(Via.FIREWALL, Reason.PRIVATE, 2, "tcp", "", "169.254.169.254", 80)
FOREIGN = Refused(Via.GATE, Reason.NOT_OURS, 1, "tcp", "api.github.com", "198.51.100.11", 443)


async def test_what_is_serious_is_acknowledged_as_far_as_the_operator_has_seen_it(target: Target) -> None:
    target.emit(METADATA)
    target.emit(FOREIGN)
    assert (await target.ask(Acknowledge(0.5))).text == "more came meanwhile: look again"
    for until in (float("nan"), float("inf")):
        assert (await target.ask(Acknowledge(until))).text == "cannot acknowledge: the time is not a number"
    one = await target.ask(Acknowledge(1.0, METADATA.key))
    assert (one.ok, one.text, one.data) == (True, "1 acknowledged, 1 left", {"left": 1})
    assert (await target.ask(Acknowledge(1.0))).text == "1 acknowledged"
    assert (await target.ask(Acknowledge(1.0))).text == "there is nothing to acknowledge"


async def test_a_mute_says_that_what_is_serious_is_shown_all_the_same(target: Target) -> None:
    target.emit(METADATA)
    text = (await target.ask(Mute("169.254.169.254"))).text
    assert text == "169.254.169.254 is muted until it is shown again; its serious refusals are shown all the same"
    assert target.state.refusals.alarms == 1


MUTES = [
    ("zzz", False, "cannot mute 'zzz': nothing of that name was refused, and it is neither a host name nor an address"),
    ("", False, "cannot mute ''"),
    ("a b", False, "cannot mute 'a b'"),
    ("\x1b[31m.example", False, "cannot mute '\\x1b[31m.example'"),
    ("https://a.example/", False, "cannot mute"),
    ("Noisy.Example.", True, "noisy.example is muted until it is shown again; nothing of it has been refused so far"),
    ("192.0.2.7", True, "192.0.2.7 is muted until"),
    ("2001:db8::7", True, "2001:db8::7 is muted until"),
    ("known", True, "known is muted until it is shown again"),
]


@pytest.mark.parametrize(("name", "fine", "text"), MUTES)
async def test_only_what_could_be_refused_is_muted(target: Target, name: str, fine: bool, text: str) -> None:
    target.emit(Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "known"))
    reply = await target.ask(Mute(name))
    assert (reply.ok, reply.text.startswith(text), bool(target.state.muted)) == (fine, True, fine), reply


async def test_what_is_not_muted_cannot_be_shown_again(target: Target) -> None:
    assert not (await target.ask(Mute("noisy.example", off=True))).ok
    await target.ask(Mute("noisy.example"))
    assert (await target.ask(Mute("NOISY.example", off=True))).text == "noisy.example is shown again"
    assert not target.state.muted


@pytest.mark.parametrize(
    ("saved", "text", "ok"),
    [
        (WorkSaved("wip/x", "abc"), SAVED_TEXT, True),
        (WorkSaved("wip/x", "abc", ("a", "b")), f"{SAVED_TEXT}\nleft out: a, b", True),
        (WorkSaved("wip/x", problem="no route"), "cannot save /workspace/repo to wip/x: no route", False),
    ],
)
async def test_what_came_of_a_save(target: Target, saved: WorkSaved, text: str, ok: bool) -> None:
    target.work = Saving(saved)
    reply = await target.ask(SaveWork())
    assert (reply.ok, reply.text) == (ok, text)
    assert reply.data == ({"branch": "wip/x", "left_out": list(saved.left_out), "not_saved": []} if ok else {})


async def test_what_is_at_stake_crosses_the_socket_as_it_is(target: Target) -> None:
    target.work = Saving()
    reply = decode_reply(encode_reply(await target.ask(CountWork())))
    assert build(WorkAtStake, reply.data) == STAKE
    assert (await target.ask(SaveWork(off=True))).ok
    assert target.work.dropped
