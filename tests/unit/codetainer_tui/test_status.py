"""`status`, `suggest`, `allowed` and `logs`: output and exit codes."""

import json
from pathlib import Path

import pytest

from backend.contract import events as e
from backend.contract.control import Reply
from backend.contract.paths import Paths
from backend.contract.state import fold_all
from codetainer_tui import allowed, logs, status, suggest
from codetainer_tui.recommendation import wanted
from codetainer_tui.view import view
from tests.journals.make import BEGUN, JOURNALS, text


@pytest.fixture
def paths(tmp_path: Path, request: pytest.FixtureRequest) -> Paths:
    """A sandbox in the state of the journal with this name."""
    made = Paths(tmp_path)
    made.run.mkdir(parents=True)
    made.journal.write_text(text(JOURNALS[request.param]()))
    return made


CODES = [("ready", 0), ("attacked", 0), ("degraded", 1), ("booting", 1), ("halted", 2)]


@pytest.mark.parametrize(("paths", "code"), CODES, indirect=["paths"])
def test_the_exit_code_reflects_the_condition(
    paths: Paths, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "supervised", lambda path: True)
    assert status.status(paths, as_json=False) == code
    said = capsys.readouterr().out
    assert said.splitlines()[0].split()[0] in ("READY", "DEGRADED", "BOOTING", "CLOSED")
    assert all(line.isprintable() for line in said.splitlines())
    assert status.status(paths, as_json=True) == code
    body = json.loads(capsys.readouterr().out)
    assert body["condition"] in ("ready", "degraded", "booting", "closed")


@pytest.mark.parametrize("paths", ["ready"], indirect=True)
def test_without_its_supervisor_the_sandbox_is_closed(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.status(paths, as_json=False) == 2
    assert capsys.readouterr().out.startswith("CLOSED  codetainer boot has exited")


def test_no_sandbox_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.status(Paths(tmp_path), as_json=False) == 2
    assert suggest.suggest(Paths(tmp_path)) == 2
    assert logs.logs(Paths(tmp_path), go_on=False, as_json=False) == 2
    assert capsys.readouterr().out == ""


def shown(name: str, *, operator: bool) -> str:
    state = fold_all(e.decode(line) for line in text(JOURNALS[name]()).splitlines())
    now = state.updated_at + 3
    return status.text(view(state, now), wanted(state, now), operator=operator)


def test_other_users_are_told_what_to_ask_the_operator_for() -> None:
    """The most refused name is recommended, not pypi.example.org, which came last."""
    wanted = "codetainer allow telemetry.example.net --read --for 1h   (refused 42 times; only if the work needs it)\n"
    assert shown("ready", operator=False).endswith(f"ask the operator to run: {wanted}")
    assert shown("ready", operator=True).endswith(f"try: {wanted}")
    assert "ask the operator to run: codetainer retry" in shown("halted", operator=False)


def test_a_halt_is_shown_with_reason_and_remedy() -> None:
    said = shown("halted", operator=True)
    assert "CLOSED  boot halted at Readiness" in said
    assert "198.51.100.9:443 was answered" in said
    assert "Run codetainer check" in said


@pytest.mark.parametrize("paths", ["ready"], indirect=True)
def test_a_protection_that_failed_is_reported_with_its_time_and_remedy(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "supervised", lambda path: True)
    event = e.ProtectionFailed("root is writable", "Run codetainer logs.", {"root read-only": "root is writable"})
    at = BEGUN + 8000
    with paths.journal.open("a") as file:
        file.write(e.encode(e.Stamped(at, 999, event)) + "\n")
    assert status.status(paths, as_json=False) == 2
    said = capsys.readouterr().out
    assert "CLOSED  protection failed at 16:13: root is writable; everything is closed" in said
    assert "halted" not in said
    assert "Run codetainer logs." in said
    assert ": codetainer retry\n" in said
    assert status.status(paths, as_json=True) == 2
    body = json.loads(capsys.readouterr().out)
    assert (body["condition"], body["halted"]) == ("closed", False)
    assert body["protection_failed"] == {
        "at": at, "probes": ["root read-only"], "reason": "root is writable", "remedy": "Run codetainer logs.",
    }  # fmt: skip


@pytest.mark.parametrize("paths", ["ready"], indirect=True)
def test_logs_as_text_and_as_json(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert logs.logs(paths, go_on=False, as_json=False) == 0
    said = capsys.readouterr().out
    assert "14:00:04 READY after 4.3 s" in said
    assert logs.logs(paths, go_on=False, as_json=True) == 0
    assert capsys.readouterr().out == paths.journal.read_text()


@pytest.mark.parametrize("paths", ["ready"], indirect=True)
def test_logs_begin_with_the_previous_segment(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    paths.journal.with_name("events.1.jsonl").write_text(e.encode(e.Stamped(BEGUN - 60, 1, e.Noted("info", "earlier"))) + "\n")
    logs.logs(paths, go_on=False, as_json=False)
    assert capsys.readouterr().out.splitlines()[1] == "13:59:00 earlier"


def test_suggested_lines_are_entries_with_counts_and_programs() -> None:
    state = fold_all(e.decode(line) for line in text(JOURNALS["ready"]()).splitlines())
    assert suggest.lines(state, state.updated_at) == [
        "telemetry.example.net read  # refused 42 times, by node",
        "pypi.example.org read       # refused 3 times, by pip",
        "_dmarc.example.org read     # refused 2 times",
        "files.example.org:8443      # refused 2 times, by curl",
    ]


def test_allowed_and_impossible_names_are_not_suggested() -> None:
    state = fold_all(e.decode(line) for line in text(JOURNALS["attacked"]()).splitlines())
    names = [line.split()[0] for line in suggest.lines(state, state.updated_at)]
    entries = [name for name in names if name != "#"]
    assert entries[0] == "x7f3a9.exfil.example.net"
    assert all(name.replace(".", "").replace("-", "").isalnum() for name in entries)


def test_open_names_as_a_table_and_for_programs() -> None:
    entries = [
        {"name": "api.example.com", "ports": "443,80", "grant": "read", "source": "domains.conf:12", "until": None},
        {"name": "*.b.example", "ports": "8443", "grant": "open", "source": "by hand", "until": BEGUN + 3600},
    ]
    reply = Reply(True, data={"entries": entries})
    assert allowed.table(reply, BEGUN) == (
        "api.example.com  443,80  read  domains.conf:12\n*.b.example      8443    open  by hand, until 15:00\n"
    )
    assert json.loads(allowed.as_json(reply)) == entries
    assert allowed.table(Reply(True)) == "no names are open\n"
