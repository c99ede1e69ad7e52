"""Restore commands name only files that no link of the agent can redirect, on any operator's file system."""

from __future__ import annotations

import pytest

from backend.work import restoring
from backend.work.restoring import Converted


@pytest.mark.parametrize(
    ("file", "link"),
    [
        ("d/f", "D"),
        ("a/d/f", "A/D"),
        ("f.txt", "F.TXT"),
        ("d/f", "d."),
        ("d/f", "d "),
        ("d/f", "d\u200c"),
        ("caf\u00e9/f", "cafe\u0301"),
        ("stra\u00dfe/f", "STRASSE"),
        ("d\\f", "other"),
        ("line\nfeed", "other"),
    ],
)
def test_a_file_that_a_link_may_redirect_is_not_named(file: str, link: str) -> None:
    assert Converted.of([file, "plain"], [link]) == Converted(("plain",), 1)


def test_links_elsewhere_hinder_nothing() -> None:
    assert Converted.of(["d/f", "de"], ["d/g", "D/F/x", "e"]) == Converted(("d/f", "de"))


def test_the_command_and_the_sentence_about_the_rest() -> None:
    converted = Converted.of([f"f{number}" for number in range(restoring.MAX_NAMED + 1)], [])
    command = restoring.command("C", staged=True, converted=converted)
    assert command.count("git cat-file blob C:f") == restoring.MAX_NAMED
    assert restoring.differing("C", converted).startswith("git converts 1 more file on checkout")
    assert restoring.differing("C", Converted(("a",))) == ""
