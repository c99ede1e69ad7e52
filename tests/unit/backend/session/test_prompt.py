"""Claude Code's screen as tmux captures it, with lines as 2.1.197 and 2.1.332 draw them: is there an empty prompt?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.session.prompt import Look, Shown, is_busy, restful, typed, wait_option

RULE = "\x1b[38;5;244m" + "─" * 80
PROMPT = "\x1b[39m❯\N{NO-BREAK SPACE}"
EMPTY = PROMPT + "\x1b[7m \x1b[0m\x1b[39m\x1b[49m"
SUGGESTED = PROMPT + "\x1b[7mO\x1b[0;2m\x1b[39m\x1b[49mnce fixed, resend your message"
STATUS = "  ⏵⏵ bypass permissions on (shift+tab to cycle)"
QUESTION = ("▔" * 40, "  What do you want to do?", "  ❯ 1. Stop and wait for limit to reset", "    2. Upgrade your plan")


def look(line: str, column: int = 2, *, above: str = RULE, below: str = RULE, scrolled: bool = False) -> Look:
    return Look(("❯ hello", "● an answer", above, line, below, STATUS), (column, 3), 0, scrolled)


LOOKS = {
    "empty": (look(EMPTY), Shown.EMPTY),
    "empty in 2.1.197": (look("\x1b[38;5;246m❯\N{NO-BREAK SPACE}\x1b[7m\x1b[39m"), Shown.EMPTY),
    "suggested": (look(SUGGESTED), Shown.EMPTY),
    "typed": (look(PROMPT + "fix it\x1b[7m \x1b[0m", 8), Shown.TYPED),
    "typed, cursor at the beginning": (look(PROMPT + "\x1b[7mf\x1b[0mix it"), Shown.TYPED),
    "one letter, cursor at the beginning": (look(PROMPT + "\x1b[7mf\x1b[0m"), Shown.TYPED),
    "typed spaces": (look(PROMPT + "   \x1b[7m \x1b[0m", 5), Shown.TYPED),
    "several lines": (look(EMPTY, below="  second line"), Shown.TYPED),
    "a colour with a 2 in it": (look(PROMPT + "\x1b[7m \x1b[0m\x1b[38;5;2mtext"), Shown.TYPED),
    "a true colour": (look(PROMPT + "\x1b[7m \x1b[0m\x1b[38;2;2;2;2mtext"), Shown.TYPED),
    "a message": (look("❯ hello"), Shown.OTHER),
    "a shell": (look("claude@sandbox:/workspace$ "), Shown.OTHER),
    "a prompt without its frame": (look(EMPTY, above="text"), Shown.OTHER),
    "history": (look(EMPTY, scrolled=True), Shown.OTHER),
    "cursor elsewhere": (Look(look(EMPTY).lines, (2, 1)), Shown.OTHER),
    "cursor outside": (Look(look(EMPTY).lines, (2, 99)), Shown.OTHER),
    "nothing": (Look(()), Shown.OTHER),
    "the question about the limit": (Look(QUESTION, (2, 2)), Shown.LIMIT),
    "another question": (Look(("  Do you trust this folder?", "  ❯ 1. Yes, proceed", "    2. No"), (2, 1)), Shown.OTHER),
}


@pytest.mark.parametrize(("seen", "shown"), LOOKS.values(), ids=LOOKS)
def test_what_a_screen_shows(seen: Look, shown: Shown) -> None:
    assert seen.shown is shown


def test_the_answer_to_the_question_is_the_number_of_waiting() -> None:
    assert wait_option(("  ❯ 1. Upgrade your plan", "    2. Stop and wait for limit to reset")) == "2"
    assert wait_option(("1. Yes",)) == ""


def test_claude_says_that_it_continues_by_itself() -> None:
    assert Look(("  Usage limit reached", "    Continuing automatically at 1:25am · Esc to cancel")).continues
    assert Look(("    Continuing shortly · Esc to cancel",)).continues
    assert not Look(("● Usage limit reset · Continuing automatically", "● Done")).continues  # of an earlier time


WORKING = {
    "2.1.332": ("✻ Shenaniganing…", RULE, "❯\N{NO-BREAK SPACE}", RULE, f"{STATUS} · esc to interrupt"),
    "2.1.197": (
        "✽ Flummoxing… (1m 1s)",
        "  ⎿  Tip: Use /btw",
        RULE,
        "❯\N{NO-BREAK SPACE}",
        RULE,
        f"{STATUS} · esc to interrupt · x",
    ),
    "a narrow pane": ("· Re-reading…", RULE, "❯\N{NO-BREAK SPACE}", RULE, "  ⏵⏵ bypass"),
    "while it repeats a call": ("✻ 529 Overloaded · retrying in 2s · attempt 5/10", RULE, f"{STATUS} · esc to interrupt"),
}


@pytest.mark.parametrize("lines", WORKING.values(), ids=WORKING)
def test_a_screen_of_claude_at_work(lines: tuple[str, ...]) -> None:
    assert is_busy(lines)


def test_a_screen_of_claude_that_waits() -> None:
    assert not is_busy(
        ("❯ what is esc to interrupt?", "● Done…", "✻ Baked for 1s · done 12:28 AM", RULE, EMPTY, RULE, STATUS, "", "")
    )
    assert not is_busy(("✻ Working…", *["text"] * 12))
    assert not is_busy(())


def test_a_running_timer_is_no_output() -> None:
    before = ("● an answer", "✽ Flummoxing… (1m 1s)", "  ⎿  Tip: Use Plan Mode", "  attempt 3/10")
    after = ("● an answer", "✶ Flummoxing… (12m 11s · ↓ 2 tokens)", "  ⎿  Tip: Use /btw", "  attempt 4/10")
    assert restful(before) == restful(after)
    assert restful(before) != restful(("● another answer",))


@given(
    st.lists(st.text(alphabet=st.sampled_from("❯\N{NO-BREAK SPACE}─\x1b[0;2m7 aO1."), max_size=60), max_size=8),
    st.integers(0, 9),
)
def test_any_screen_is_read(lines: list[str], row: int) -> None:
    assert Look(tuple(lines), (2, row)).shown in Shown
    for line in lines:
        typed(line)
