"""A state as text: headline, problems, refusals and the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract import events as e
from backend.contract.events import BootState, ServiceState, SessionState
from backend.contract.state import State, fold_all
from codetainer_tui.view import Condition, RefusedLine, StepLine, Tone, View, view
from tests.journals import make as stories
from tests.journals.make import BEGUN, JOURNALS, text
from tests.unit.contract.test_events import ANY_EVENT

FAILED = e.ProtectionFailed(
    "192.0.2.1:443 was answered", "Run codetainer logs.", {"outside address": "192.0.2.1:443 was answered"}
)


def state(name: str, *more: e.Event, after: float = 1.0) -> State:
    found = fold_all(e.decode(line) for line in text(JOURNALS[name]()).splitlines())
    return fold_all([e.Stamped(found.updated_at + after, 1, event) for event in more], found)


def seen(found: State) -> View:
    return view(found, found.updated_at + 3)


def first_line(found: View) -> str:
    return f"{found.headline.word} {found.headline.text}"


def test_the_headline_of_each_story() -> None:
    said = {name: first_line(seen(state(name))) for name in JOURNALS}
    assert said == {
        "booting": "BOOTING 12 of 15 steps",
        "ready": "READY the agent is waiting for you since 16:06",
        "degraded": "DEGRADED CoreDNS is down",
        "halted": "CLOSED boot halted at Readiness",
        "attacked": "READY the agent is working",
        "flooded": "READY the agent is working",
        "night": "READY the agent is waiting for you since 21:42",
        "learning": "READY the agent is working",
    }


HEADLINES: list[tuple[str, list[e.Event], str, Condition]] = [
    ("ready", [e.Froze(True, "root")], "by root at 16:06", Condition.CLOSED),
    ("ready", [e.Stopping("SIGTERM")], "stopped: SIGTERM", Condition.CLOSED),
    ("ready", [e.Froze(True), e.Froze(False)], "the agent is waiting for you since 16:06", Condition.READY),
    ("ready", [e.ServiceChanged("guard", ServiceState.DOWN)], "the guard is down", Condition.DEGRADED),
    ("ready", [e.ServiceChanged("coredns", ServiceState.UNRESPONSIVE)], "CoreDNS is unresponsive", Condition.DEGRADED),
    ("ready", [e.SessionChanged(SessionState.ENDED, "claude")], "the agent exited", Condition.READY),
    ("ready", [FAILED], "protection failed at 16:06: 192.0.2.1:443 was answered; everything is closed", Condition.CLOSED),
    ("ready", [FAILED, e.Froze(True)], "protection failed at 16:06: 192.0.2.1:443 was answered; everything is closed",
     Condition.CLOSED),
    ("degraded", [e.BootFinished(BootState.HALTED, 0, "readiness", "from before")],
     "protection failed at 14:10: from before; everything is closed", Condition.CLOSED),
    ("degraded", [e.ServiceChanged("coredns", ServiceState.UP, 9)],
     "Clone octo/repo: remote: Repository not found.", Condition.DEGRADED),
]  # fmt: skip


def test_a_question_before_the_first_turn_is_shown_with_claudes_screen() -> None:
    asks = e.SessionChanged(SessionState.ASKS, "claude", screen=("Allow it?\x1b[2J", "1. Yes"))
    shown = seen(state("ready", asks))
    assert first_line(shown) == "READY Claude is asking something before it begins"
    assert shown.headline.text_tone is Tone.WARN
    (block,) = [block for block in shown.blocks if block.title == "Claude is asking something before it begins"]
    assert block.lines[1:] == ("Its screen, in the agent's words:", "| Allow it?\\x1b[2J", "| 1. Yes")
    (row,) = [row for row in shown.rows if row.label == "Agent"]
    assert (row.cells[0], row.tone) == ("Claude is asking something before it begins", Tone.WARN)
    begun = seen(state("ready", asks, e.SessionChanged(SessionState.WORKS, "claude")))
    assert not [block for block in begun.blocks if "asking" in block.title]


SESSIONS = {
    "limited": "READY at a usage limit until 18:18 (in 2 h 10 min)",
    "resumed": "READY at a usage limit until 16:06 (over)",
    "overloaded": "READY the API is overloaded since 16:06",
    "refused": "READY the API refuses CLAUDE_CODE_OAUTH_TOKEN since 15:57",
    "stuck": "READY the agent seems to be stuck since 15:37",
}


@pytest.mark.parametrize("name", stories.CANNOT_GO_ON)
def test_a_session_that_cannot_go_on_is_the_headline_and_a_block(name: str) -> None:
    told = stories.CANNOT_GO_ON[name]
    shown = view(state("ready", *told), stories.AT + 60)
    assert first_line(shown) == SESSIONS[name]
    assert shown.headline.text_tone is Tone.WARN
    measured = told[0]
    assert isinstance(measured, e.SessionMeasured)
    (block,) = [block for block in shown.blocks if block.lines[0].lower() == measured.detail.lower()]
    assert ("Claude was told to continue, but no call has passed yet." in " ".join(block.lines)) == (name == "resumed")
    assert block.keys[0] == "t shows the session"
    (row,) = [row for row in shown.rows if row.label == "Agent"]
    assert row.tone is Tone.WARN


def test_a_try_that_met_a_new_limit_is_not_the_next_one() -> None:
    limited = e.SessionMeasured(SessionState.LIMITED, stories.AT, stories.AT + 7200, "429")
    shown = seen(state("ready", *stories.CANNOT_GO_ON["resumed"], limited))
    assert not [block for block in shown.blocks if "Next try" in " ".join(block.lines)]
    assert [block for block in shown.blocks if "When it is over" in " ".join(block.lines)]


def test_what_the_agent_reports_does_not_hide_a_limit() -> None:
    limited = state("ready", *stories.CANNOT_GO_ON["limited"], e.SessionChanged(SessionState.WAITS, "claude"))
    assert limited.session_state is SessionState.LIMITED
    shown = seen(limited)
    assert "at a usage limit" in first_line(shown)
    over = e.SessionMeasured(SessionState.WORKS, before=SessionState.LIMITED)
    assert first_line(seen(state("ready", *stories.CANNOT_GO_ON["resumed"], over))) == "READY the agent is working"


def test_problems_with_claudes_settings_are_shown() -> None:
    shown = seen(state("ready", e.AgentSettings(("settings.json:\x07 malformed",))))
    (block,) = [block for block in shown.blocks if block.title == "Claude Code's settings"]
    assert (block.lines, block.tone) == (("settings.json:\\x07 malformed",), Tone.WARN)


@pytest.mark.parametrize(("name", "events", "words", "condition"), HEADLINES)
def test_headlines(name: str, events: list[e.Event], words: str, condition: Condition) -> None:
    head = seen(state(name, *events)).headline
    assert (head.text, head.condition) == (words, condition)


def test_a_frozen_sandbox_has_a_word_of_its_own_until_it_is_thawed() -> None:
    frozen = seen(state("ready", e.Froze(True, "root")))
    assert (frozen.headline.word, frozen.title) == ("FROZEN", "FROZEN by root at 16:06 - codetainer")
    assert (frozen.blocks[0].title, frozen.blocks[0].since) == ("Frozen", "by root at 16:06")
    (agent,) = [row for row in frozen.rows if row.label == "Agent"]
    assert agent.cells[0] == "frozen"  # whatever it did before
    thawed = state("ready", e.Froze(True, "root"), e.Froze(False, "other"))
    assert (seen(thawed).headline.word, thawed.frozen_by, thawed.frozen_at) == ("READY", "", 0.0)


def test_a_learning_run_is_red_in_every_place_as_long_as_it_lasts() -> None:
    learning = seen(state("learning"))
    assert learning.headline.alarm.startswith("LEARNING RUN")
    assert learning.title.startswith("READY LEARNING RUN, ")
    assert "LEARNING RUN" in learning.one_line
    assert "LEARNING RUN" in learning.full[0]
    assert (learning.blocks[0].title, learning.blocks[0].tone) == ("Learning run", Tone.BAD)
    assert "4 names opened, 3 answered, 1 open for any request." in learning.blocks[0].lines[1]
    for event in (e.Froze(True, "root"), e.ServiceChanged("gate", e.ServiceState.DOWN), e.ProtectionFailed("why")):
        assert "LEARNING RUN" in seen(state("learning", event)).headline.alarm
    assert "LEARNING RUN" not in seen(state("learning", e.Stopping("SIGTERM"))).headline.alarm
    assert "LEARNING RUN" not in seen(state("ready")).headline.alarm


def test_an_empty_journal_is_booting() -> None:
    assert view(State(), BEGUN).headline.condition is Condition.BOOTING


def test_without_its_supervisor_a_sandbox_counts_as_closed() -> None:
    found = view(state("ready"), BEGUN, supervised=False)
    assert found.headline.condition is Condition.CLOSED
    assert "boot has exited" in found.blocks[0].title


def test_only_ready_is_green() -> None:
    tones = {name: seen(state(name)).headline.tone for name in JOURNALS}
    assert tones == {
        "booting": Tone.PLAIN, "ready": Tone.GOOD, "degraded": Tone.WARN, "halted": Tone.BAD, "attacked": Tone.GOOD,
        "flooded": Tone.GOOD, "night": Tone.GOOD, "learning": Tone.GOOD,
    }  # fmt: skip


def test_steps_show_their_progress_or_the_step_they_wait_for() -> None:
    steps = {step.name: step for step in seen(state("booting")).steps}
    assert (steps["names"].glyph, steps["names"].word, steps["names"].detail) == ("✓", "done", "23 names")
    assert (steps["clone"].glyph, steps["clone"].word) == ("…", "running")
    assert "62%" in steps["clone"].detail
    assert steps["session"].detail == "waiting for Clone octo/repo"


def test_a_halt_shows_reason_and_remedy() -> None:
    block = seen(state("halted")).blocks[0]
    assert block.title == "Readiness"
    assert "198.51.100.9:443 was answered" in block.lines[0]
    assert block.lines[1] == "The agent was not started and nothing can leave."
    assert block.lines[2].startswith("Run codetainer check")
    assert "12 steps done, 2 not run" in block.lines[3]


def test_a_protection_that_fails_later_is_no_halt_of_boot() -> None:
    found = seen(state("ready", FAILED))
    (block,) = found.blocks
    assert (block.title, block.since) == ("Protection failed", "at 16:06")
    assert block.lines == (
        "192.0.2.1:443 was answered",
        "Everything is closed: the agent was stopped and nothing can leave.",
        "Run codetainer logs.",
    )
    assert (found.halted, found.needs_retry, found.up) == (False, True, "")
    long = seen(state("ready", e.ProtectionFailed("a long reason " * 100)))
    assert len(f"CLOSED   {long.headline.text}") <= 120
    assert long.headline.text.endswith("; everything is closed")
    assert not [row for row in found.rows if row.label == "Booted"]
    again = state("ready", FAILED, e.BootStarted("0.1.0", ()), e.BootFinished(BootState.READY, 1.0))
    assert (seen(again).needs_retry, seen(again).headline.condition) == (False, Condition.READY)


def test_each_problem_has_a_block_the_worst_first() -> None:
    titles = [block.title for block in seen(state("degraded")).blocks]
    assert titles == ["CoreDNS is down", "Clone octo/repo", "1 allowed name without an address"]


def test_a_healthy_sandbox_has_no_blocks() -> None:
    assert seen(state("ready")).blocks == ()


@pytest.mark.parametrize(("used", "title"), [(95, "/tmp is nearly full"), (100, "/tmp is full")])
def test_a_full_file_system_has_a_block_with_a_remedy(used: int, title: str) -> None:
    full = e.SandboxMeasured(1, 1, 100, {"/tmp": (used, 100)})
    found = seen(state("ready", full))
    assert [(block.title, block.lines) for block in found.blocks] == [
        (title, (f"{used} B of 100 B used. Delete files there, or raise CODETAINER_TMPFS_TMP for the next boot.",)),
    ]  # fmt: skip
    assert next(row for row in found.rows if row.label == "Disk").tone is Tone.WARN


@pytest.mark.parametrize(("used", "title"), [(89, None), (95, "/home/claude is nearly full"), (100, "/home/claude is full")])
def test_a_file_system_without_room_for_files_has_a_block_though_it_has_space(used: int, title: str | None) -> None:
    measured = e.SandboxMeasured(1, 1, 100, {"/home/claude": (1, 100)}, inodes={"/home/claude": (used, 100)})
    found = seen(state("ready", measured))
    disk = next(row for row in found.rows if row.label == "Disk")
    if title is None:
        assert (found.blocks, disk.tone) == ((), Tone.PLAIN)
        return
    assert [(block.title, block.lines) for block in found.blocks] == [
        (title, (f"{used} of 100 files used. Delete files there, or raise CODETAINER_TMPFS_HOME for the next boot.",)),
    ]  # fmt: skip
    assert disk.tone is Tone.WARN
    assert any(cell.startswith(f"/home files {used}%") for cell in disk.cells)


def test_a_full_file_system_names_what_fills_it() -> None:
    parts = (
        e.Largest("repo/node_modules", 60 << 20), e.Largest("\x1b[31m", 20 << 20), e.Largest("", 10 << 20),
        e.Largest("cache", files=40_000),
    )  # fmt: skip
    measured = e.SandboxMeasured(
        1, 1, 100, {"/workspace": (99, 100)}, inodes={"/workspace": (95, 100)}, largest={"/workspace": parts}
    )
    by_size, by_files = seen(state("ready", measured)).blocks
    assert by_size.lines[1:] == (
        "Largest: repo/node_modules (60 MB), \\x1b[31m (20 MB), deleted files that programs hold open (10.0 MB).",
    )
    assert by_files.lines[1:] == ("Largest: cache (40 000 files).",)


ASKED_WITH = ("key", "muted_as", "name", "target", "opened_by", "acknowledged_as")  # values for requests, never shown


def texts(value: object) -> list[str]:
    """All texts of a View."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [text for item in value for text in texts(item)]
    unseen = ASKED_WITH if isinstance(value, StepLine | RefusedLine) else ("listed",)
    slots = [slot for slot in getattr(type(value), "__slots__", ()) if slot not in unseen]
    return [text for slot in slots for text in texts(getattr(value, slot))]


@given(st.lists(ANY_EVENT, max_size=8))
def test_every_event_can_be_shown(found: list[e.Event]) -> None:
    seen_ = view(fold_all(e.Stamped(BEGUN + n, n, event) for n, event in enumerate(found)), BEGUN + 60)
    assert [text for text in texts(seen_) if not text.isprintable()] == []


def test_all_text_of_a_view_is_harmless() -> None:
    found = texts(seen(state("attacked")))
    assert len(found) > 300
    assert [text for text in found if not text.isprintable()] == []


def test_dropped_cookies_have_a_row_and_mark_their_host_but_are_not_refusals() -> None:
    before = seen(state("ready"))
    assert "Cookies" not in [row.label for row in before.rows]
    found = state("ready", e.CookiesDropped("github.com", 3), e.CookiesDropped("api.github.com"))
    (row,) = [row for row in seen(found).rows if row.label == "Cookies"]
    assert row.text == "dropped from 3 requests to github.com, last now   dropped from 1 request to api.github.com, last now"
    assert row.tone is Tone.WARN
    assert [one.marked for one in seen(found).traffic if one.name == "github.com"] == ["cookies dropped"]
    assert seen(found).refused_summary == before.refused_summary
    assert seen(found).headline.condition is Condition.READY
