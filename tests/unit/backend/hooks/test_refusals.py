"""What Claude is told of refusals: what the journal says, once, and nothing where a server said no."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.contract.events import Reason, Refused, Stamped, Via, encode
from backend.hooks import refusals

NOW = 1_800_000_000.0


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def journal(folder: Path, *refused: Refused, at: float = NOW - 1) -> Path:
    file = folder / "events.jsonl"
    file.write_text("".join(encode(Stamped(at, n, event)) + "\n" for n, event in enumerate(refused)))
    return file


def told(folder: Path, response: object = "curl: (6) Could not resolve host") -> str:
    said = json.dumps({"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_response": response}).encode()
    clock = Clock()
    answer = refusals.respond(said, str(folder / "session.json"), str(folder / "events.jsonl"), clock, clock.sleep)
    return json.loads(answer)["hookSpecificOutput"]["additionalContext"] if answer else ""


def test_a_name_that_is_not_listed_is_told_with_the_remedy(tmp_path: Path) -> None:
    journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "telemetry.example.net"))
    text = told(tmp_path)
    assert "telemetry.example.net: not on the list" in text
    assert "codetainer allow telemetry.example.net" in text
    assert "do not retry" in text


def test_it_is_told_once(tmp_path: Path) -> None:
    journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "telemetry.example.net"))
    assert told(tmp_path)
    assert told(tmp_path) == ""


def test_a_servers_own_no_is_not_the_sandboxs(tmp_path: Path) -> None:
    journal(tmp_path)
    assert told(tmp_path, "HTTP/2 403 Forbidden") == ""
    journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "old.example"), at=NOW - 3600)
    assert told(tmp_path, "HTTP/2 403 Forbidden") == ""


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_advice(reason: Reason) -> None:
    event = {"name": "a.example", "address": "198.51.100.1", "port": 443, "reason": str(reason)}
    assert refusals.sentence(event).count(": ") >= 1
    if reason is not Reason.STOPPED:
        assert "this is not open from here" not in refusals.sentence(event).lower()


def test_a_port_is_part_of_what_has_to_be_allowed() -> None:
    event = {"name": "a.example", "port": 8443, "reason": str(Reason.PORT_NOT_LISTED)}
    assert "codetainer allow a.example --port 8443" in refusals.sentence(event)


def test_very_many_are_cut_and_nothing_controls_a_screen(tmp_path: Path) -> None:
    journal(tmp_path, *(Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", f"\x1b[2Jn{n}.example") for n in range(30)))
    text = told(tmp_path)
    assert "and 25 more" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("said", [b"", b"[]", b"{", b'{"tool_response": {}}', b"[" * 100_000])
def test_malformed_input_says_nothing(tmp_path: Path, said: bytes) -> None:
    assert refusals.respond(said, str(tmp_path / "session.json"), str(tmp_path / "none")) == ""


@pytest.mark.parametrize("meanwhile", ["", "another.example"], ids=["alone", "behind-another"])
def test_what_was_refused_just_now_is_waited_for_where_the_call_looks_like_it(tmp_path: Path, meanwhile: str) -> None:
    """The journal is behind, and what it has first need not be what made the call fail."""
    file = journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "earlier.example"), at=NOW - 30)
    clock = Clock()
    due = {0.1: meanwhile, 0.8: "just.example"}

    def sleep(seconds: float) -> None:
        clock.now += seconds
        for after in [after for after in due if clock.now > NOW + after]:
            if name := due.pop(after):
                with file.open("a") as opened:
                    opened.write(encode(Stamped(clock.now, 9, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", name))) + "\n")

    said = json.dumps({"tool_response": "curl: (6) Could not resolve host: just.example"}).encode()
    answer = refusals.respond(said, str(tmp_path / "session.json"), str(file), clock, sleep)
    for name in ("earlier.example", "just.example", meanwhile):
        assert name in answer
    assert clock.now < NOW + 1.0


def test_a_listed_name_with_a_private_address_is_the_operators_matter(tmp_path: Path) -> None:
    journal(tmp_path, Refused(Via.DNS, Reason.PRIVATE, 1, "dns", "private.example"))
    assert told(tmp_path) == ""
