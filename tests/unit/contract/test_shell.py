"""Hostile names in command lines that the operator pastes."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract import shell


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("repo", "repo"),
        ("größer", "'größer'"),
        ("a; touch pwned; #", "'a; touch pwned; #'"),
        ("it's", "'it'\"'\"'s'"),
        ("$(id)", "'$(id)'"),
        ("", "''"),
        ("a\nb", "$'a\\012b'"),
        ("\x1b]0;owned\x07", "$'\\033]0;owned\\007'"),
        ("1\x012", "$'1\\0012'"),
        ("it's\x7f\\", "$'it\\'s\\177\\\\'"),
        ("\u202egnp.exe", "$'\\342\\200\\256gnp.exe'"),
        ("\udcff", "$'\\377'"),
        ("\ud800", "$'\\355\\240\\200'"),
    ],
)
def test_a_word_is_one_argument(name: str, word: str) -> None:
    assert shell.word(name) == word


def test_a_name_is_not_an_option() -> None:
    assert [shell.file(name) for name in ("-rf", "repo", "-a b")] == ["./-rf", "repo", "'./-a b'"]


@given(st.text())
def test_a_shell_expands_nothing_in_it(name: str) -> None:
    word = shell.word(name)
    assert word.isprintable()
    if not word.startswith("$'"):
        assert shlex.split(word) == [name]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("a\nb", "printf 'a\\012b'"),
        ("100%", "printf 100%%"),
        ("-e", "printf '\\055e'"),
        ("it's \\", "printf 'it'\"'\"'s \\\\'"),
        ("\udcff\0", "printf '\\377\\000'"),
        ("", "printf ''"),
    ],
)
def test_printf_writes_the_text(text: str, command: str) -> None:
    assert shell.printf(text) == command
