import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract import events
from backend.contract.paths import Paths
from backend.hooks import statusline

NOW = 1_800_000_000.0
STATUS = {
    "session_id": "5f0c2d1e-1111-2222-3333-444455556666",
    "model": {"id": "claude-opus-4-5", "display_name": "Opus 4.5"},
    "context_window": {"used_percentage": 42, "context_window_size": 200000},
    "cost": {"total_cost_usd": 1.25},
}


def refused(ago: float, name: str = "evil.test", count: int = 1) -> str:
    event = events.Refused(events.Via.DNS, events.Reason.NOT_LISTED, count=count, name=name)
    return events.encode(events.Stamped(NOW - ago, 1, event))


def respond(tmp_path: Path, status: object = STATUS, journal: list[str] | None = None) -> str:
    (tmp_path / "events.jsonl").write_text("".join(line + "\n" for line in journal or []))
    text = status if isinstance(status, bytes) else json.dumps(status).encode()
    return statusline.respond(text, str(tmp_path / "session.json"), str(tmp_path / "events.jsonl"), NOW)


def test_shows_model_context_and_name(tmp_path: Path) -> None:
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / str(STATUS["session_id"])).write_text("fixing-auth-bug")
    line = respond(tmp_path)
    assert line.startswith("Opus 4.5 ")
    assert "████░░░░░░ 42 %" in line
    assert line.endswith("fixing-auth-bug")
    assert "refused" not in line


@pytest.mark.parametrize(
    ("percent", "colour"),
    [(0, statusline.GREEN), (65, statusline.GREEN), (65.1, statusline.YELLOW), (85, statusline.YELLOW), (85.1, statusline.RED),
     (100, statusline.RED), (250, statusline.RED)],
)  # fmt: skip
def test_bar_is_green_to_65_yellow_to_85_red_above(percent: float, colour: str) -> None:
    shown = statusline.bar(percent)
    assert shown.startswith(colour)
    assert shown.count("█") + shown.count("░") == statusline.BAR_CELLS


def test_counts_the_refusals_of_the_last_minutes_and_names_the_latest(tmp_path: Path) -> None:
    old = statusline.MINUTES * 60 + 1
    journal = [refused(old, "old.test", 100), refused(60, "one.test", 2), "", '{"cut": "short', refused(1, "two.test", 3)]
    assert "5 refused in 10 min" in respond(tmp_path, journal=journal)
    assert "last two.test" in respond(tmp_path, journal=journal)
    assert "more than" not in respond(tmp_path, journal=journal)


def test_without_a_name_the_address_is_shown(tmp_path: Path) -> None:
    event = events.Refused(events.Via.FIREWALL, events.Reason.NEVER_RESOLVED, count=1, address="192.0.2.7")
    journal = [refused(9), events.encode(events.Stamped(NOW - 1, 1, event))]
    assert "last 192.0.2.7" in respond(tmp_path, journal=journal)


def test_an_old_refusal_ends_the_count_in_a_long_journal(tmp_path: Path) -> None:
    old = [refused(statusline.MINUTES * 60 + 1)] * 2000
    assert "more than" not in respond(tmp_path, journal=[*old, refused(1)])


@pytest.mark.parametrize("value", [True, None, "1", -0.1, 1e15, float("nan")])
def test_invalid_numbers_are_minus_one(value: object) -> None:
    assert statusline.number(value) == -1.0


def test_reads_only_the_tail_and_says_that_there_may_be_more(tmp_path: Path) -> None:
    journal = [refused(1)] * 2000
    shown = respond(tmp_path, journal=journal)
    inside = statusline.TAIL_BYTES // (len(journal[0]) + 1)
    assert f"more than {inside} refused" in shown


def test_untrusted_text_is_made_harmless(tmp_path: Path) -> None:
    status = {**STATUS, "model": {"display_name": "\x1b]0;owned\x07Opus\n" + "x" * 200}}
    line = respond(tmp_path, status, [refused(1, "\x1b[2J\nevil.test")])
    colours = (statusline.GREEN, statusline.YELLOW, statusline.RED, statusline.DIM, statusline.PLAIN)
    for colour in colours:
        line = line.replace(colour, "")
    assert line.isprintable()
    assert len(line) < 200


def test_writes_the_report_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    respond(tmp_path)
    assert json.loads((tmp_path / "session.json").read_text()) == {
        "at": NOW, "session_id": STATUS["session_id"], "name": "", "model": "Opus 4.5", "context_percent": 42.0,
        "cost_usd": 1.25, "branch": "",
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "session.json"]


def test_works_without_a_report_folder_and_a_journal(tmp_path: Path) -> None:
    line = statusline.respond(json.dumps(STATUS).encode(), str(tmp_path / "none/session.json"), str(tmp_path / "none/x"), NOW)
    assert line.startswith("Opus 4.5 ")


def test_a_session_id_cannot_be_a_path(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "names").mkdir()
    assert "secret" not in respond(tmp_path, {**STATUS, "session_id": "../secret"})


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"model": 3, "context_window": [], "cost": null}',
     b'{"context_window": {"used_percentage": NaN}}', b'{"context_window": {"used_percentage": "80"}}',
     b'{"session_id": 7, "model": {"display_name": {}}}'],
)  # fmt: skip
def test_malformed_input_shortens_the_line(tmp_path: Path, text: bytes) -> None:
    assert respond(tmp_path, text) == ""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*STATUS, "display_name", "used_percentage", "x"]), inner),
)


@given(json_values)
def test_any_json_gives_one_harmless_line(tmp_path_factory: pytest.TempPathFactory, status: object) -> None:
    line = respond(tmp_path_factory.mktemp("s"), status)
    assert "\n" not in line
    line.encode("utf-8", "replace")


@given(st.binary(max_size=300))
def test_no_journal_gives_a_negative_count(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    journal = tmp_path_factory.mktemp("j") / "events.jsonl"
    journal.write_bytes(text + b'\n{"kind":"refused","at":[],"count":-5}\n[{"kind":"refused"}]\n')
    count, latest, _ = statusline.refusals(str(journal), NOW)
    assert count >= 0
    assert latest.isprintable()


STATES = (("SessionStart", "idle"), ("UserPromptSubmit", "works"), ("Notification", "waits"), ("StopFailure", "failed"))


def test_settings_start_the_hooks_with_the_paths_of_the_contract() -> None:
    settings = json.loads((Path(__file__).parents[4] / "claude-settings.json").read_text())
    paths = Paths()
    python = f"{paths.python} -I -S {paths.hooks}"
    waits, namer = settings["hooks"]["Stop"][0]["hooks"]
    assert waits["command"] == f"{python}/activity.py {paths.agent_report} waits"
    for event, state in STATES:
        (hook,) = settings["hooks"][event][0]["hooks"]
        assert hook["command"] == f"{python}/activity.py {paths.agent_report} {state}"
    for event in ("PostToolUse", "PostToolUseFailure"):
        (hook,) = settings["hooks"][event][0]["hooks"]
        assert hook["command"] == f"{python}/refusals.py {paths.agent_report} {paths.journal}"
    assert paths.agent_activity.name == "activity.json"
    assert settings["statusLine"]["command"] == f"{python}/statusline.py {paths.agent_report} {paths.journal}"
    assert namer["command"] == f"{python}/session_namer.py {paths.agent_report} {paths.tmux_socket}"


@pytest.mark.parametrize(
    ("head", "branch"),
    [("ref: refs/heads/fix/auth\n", "fix/auth"), ("05cdf2e0\n", ""), ("ref: refs/heads/\x1b[2J", "?[2J"), (None, "")],
)
def test_the_branch_is_shown_if_one_is_checked_out(tmp_path: Path, head: str | None, branch: str) -> None:
    (tmp_path / ".git").mkdir()
    if head is not None:
        (tmp_path / ".git/HEAD").write_text(head)
    assert statusline.branch(str(tmp_path)) == branch
    assert statusline.branch(None) == statusline.branch("\0") == ""
