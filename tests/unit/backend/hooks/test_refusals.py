"""The hook that reports refusals to Claude: each one in the journal once, and no errors of servers."""

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


def reported(folder: Path, response: object = "curl: (6) Could not resolve host") -> str:
    """The text that the hook adds to Claude's context after a tool call."""
    call = json.dumps({"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_response": response}).encode()
    clock = Clock()
    answer = refusals.respond(call, str(folder / "session.json"), str(folder / "events.jsonl"), clock, clock.sleep)
    return json.loads(answer)["hookSpecificOutput"]["additionalContext"] if answer else ""


def test_a_name_that_is_not_allowed_is_reported_with_a_remedy(tmp_path: Path) -> None:
    journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "telemetry.example.net"))
    text = reported(tmp_path)
    assert "telemetry.example.net: not on the allowlist. The operator can run" in text
    assert "codetainer allow telemetry.example.net" in text
    assert "do not retry" in text


def test_a_refusal_is_reported_once(tmp_path: Path) -> None:
    journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "telemetry.example.net"))
    assert reported(tmp_path)
    assert reported(tmp_path) == ""


@pytest.mark.parametrize("until", [NOW + 3600, "nonsense"])
def test_an_unusable_time_of_the_last_report_is_ignored(tmp_path: Path, until: object) -> None:
    journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "telemetry.example.net"))
    (tmp_path / "told").write_text(str(until))
    assert reported(tmp_path)


def test_refusals_are_reported_even_if_the_time_cannot_be_stored(tmp_path: Path) -> None:
    journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 2, "dns", "telemetry.example.net"))
    (tmp_path / "told").mkdir()
    assert reported(tmp_path)


def test_the_latest_are_found_in_a_long_journal(tmp_path: Path) -> None:
    file = journal(tmp_path, *(Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "old.example") for _ in range(2000)), at=NOW - 999)
    with file.open("a") as opened:
        opened.write(encode(Stamped(NOW - 1, 1, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "new.example"))) + "\n")
    assert "new.example" in reported(tmp_path)


def test_a_call_that_does_not_look_refused_is_not_delayed(tmp_path: Path) -> None:
    journal(tmp_path)
    clock = Clock()
    call = json.dumps({"tool_response": "all is well"}).encode()
    assert refusals.respond(call, str(tmp_path / "session.json"), str(tmp_path / "events.jsonl"), clock, clock.sleep) == ""
    assert clock.now == NOW


@pytest.mark.parametrize(
    ("at", "result", "passed", "enough"),
    [
        (NOW, "cannot reach just.example", 0.1, True),
        (NOW, "cannot reach it", 0.1, False),  # the refusal of this call may come later
        (NOW, "cannot reach it", 1.1, True),
        (NOW - 30, "cannot reach just.example", 0.1, False),  # an earlier refusal of the same name
        (NOW - 30, "cannot reach it", 1.1, False),
    ],
)
def test_how_long_the_hook_waits_for_a_refusal(at: float, result: str, passed: float, enough: bool) -> None:
    assert refusals.expected([{"at": at, "name": "just.example"}], result, NOW, NOW + passed) is enough


def test_errors_of_servers_are_not_reported(tmp_path: Path) -> None:
    journal(tmp_path)
    assert reported(tmp_path, "HTTP/2 403 Forbidden") == ""
    journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "old.example"), at=NOW - 3600)
    assert reported(tmp_path, "HTTP/2 403 Forbidden") == ""


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_advice(reason: Reason) -> None:
    event = {"name": "a.example", "address": "198.51.100.1", "port": 443, "reason": str(reason)}
    assert refusals.sentence(event).count(": ") >= 1
    assert refusals.NOT_OPEN not in refusals.sentence(event)


def test_the_remedy_names_an_unusual_port() -> None:
    event = {"name": "a.example", "port": 8443, "reason": str(Reason.PORT_NOT_LISTED)}
    assert "codetainer allow a.example --port 8443" in refusals.sentence(event)
    assert "--port" not in refusals.sentence({**event, "port": 443})


def test_no_command_is_suggested_if_allowing_the_name_would_not_help() -> None:
    event: dict[str, object] = {"name": "a.example", "reason": str(Reason.NOT_LISTED), "detail": "on another allowlist"}
    assert "codetainer allow" not in refusals.sentence(event)


def test_untrusted_text_is_bounded() -> None:
    assert len(refusals.sentence({"name": "x" * 10**6, "reason": "y" * 10**6, "detail": "z" * 10**6})) < 1000


def test_long_lists_are_cut_and_control_characters_escaped(tmp_path: Path) -> None:
    journal(tmp_path, *(Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", f"n{n}.example") for n in range(30)))
    text = reported(tmp_path)
    assert "and 25 more" in text
    assert text.count("codetainer allow") == refusals.MAX_REPORTED
    assert "n29.example" in text  # the latest
    assert "\x1b" not in refusals.sentence({"name": "\x1b[2Jn.example", "reason": str(Reason.NOT_LISTED)})


@pytest.mark.parametrize("name", ["a.example;id", "$(id).example", "a b.example", "-rf.example", "\x1b[2Jn.example", "a'b"])
def test_no_command_contains_anything_but_a_host_name(name: str) -> None:
    """The operator may paste the command into a root shell."""
    assert "codetainer allow" not in refusals.sentence({"name": name, "reason": str(Reason.NOT_LISTED)})


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"tool_response": {}}', b"[" * 100_000])
def test_malformed_input_gives_no_output(tmp_path: Path, text: bytes) -> None:
    assert refusals.respond(text, str(tmp_path / "session.json"), str(tmp_path / "none")) == ""


@pytest.mark.parametrize("meanwhile", ["", "another.example"], ids=["alone", "behind-another"])
def test_a_failed_call_waits_for_its_own_refusal(tmp_path: Path, meanwhile: str) -> None:
    """The journal lags, and its first new refusal need not be the one that made the call fail."""
    file = journal(tmp_path, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "earlier.example"), at=NOW - 30)
    clock = Clock()
    due = {0.1: meanwhile, 0.8: "just.example"}

    def sleep(seconds: float) -> None:
        clock.now += seconds
        for after in [after for after in due if clock.now > NOW + after]:
            if name := due.pop(after):
                with file.open("a") as opened:
                    opened.write(encode(Stamped(clock.now, 9, Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", name))) + "\n")

    call = json.dumps({"tool_response": "curl: (6) Could not resolve host: just.example"}).encode()
    answer = refusals.respond(call, str(tmp_path / "session.json"), str(file), clock, sleep)
    for name in ("earlier.example", "just.example", meanwhile):
        assert name in answer
    assert clock.now < NOW + 1.0


def test_an_allowed_name_with_a_private_address_is_not_reported_to_claude(tmp_path: Path) -> None:
    journal(tmp_path, Refused(Via.DNS, Reason.PRIVATE, 1, "dns", "private.example"))
    assert reported(tmp_path) == ""
