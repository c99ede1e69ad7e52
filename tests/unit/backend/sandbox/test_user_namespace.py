"""The ids that a user's sandbox gets: which, from where, and in which form newuidmap takes them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from backend.contract import paths
from backend.sandbox import user_namespace
from backend.sandbox.user_namespace import OURS, Range, last, mapping, parse_file, parse_getsubids
from backend.system import SystemFailure


def test_every_uid_of_the_sandbox_is_mapped() -> None:
    """A service with a uid that is not mapped could not be started."""
    names = [
        target.id
        for node in ast.walk(ast.parse(Path(str(paths.__file__)).read_text()))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.endswith("_UID")
    ]
    assert len(names) == 8
    assert {getattr(paths, name) for name in names} == set(OURS)
    assert set(OURS) <= set(user_namespace.wanted().uids)
    assert set(OURS) <= set(user_namespace.wanted().gids)


def test_getsubids_and_subuid_are_read() -> None:
    assert parse_getsubids("0: user 100000 65536\n1: user 300000 10\n") == [Range(100000, 65536), Range(300000, 10)]
    assert parse_getsubids("Error fetching ranges\n") == []
    text = "other:1:2\nuser:100000:65536\n1001:300000:10\nuser:x:1\n# note\n"
    assert parse_file(text, "user", 1001) == [Range(100000, 65536), Range(300000, 10)]


def test_the_range_to_add_is_nobody_elses() -> None:
    """Users who share subordinate ids could control each other's sandboxes."""
    assert user_namespace.unused([]) == 100000
    assert user_namespace.unused(["a:100000:65536\nb:165536:65536\n", "a:100000:65536\nc:300000:1\n# x:9:9\nd:x:1\n"]) == 300001


@pytest.mark.parametrize(
    ("count", "ranges", "ids"),
    [
        (3, [Range(100000, 65536)], [165535, 165534, 165533]),
        (3, [Range(10, 2), Range(20, 2)], [21, 20, 11]),
        (3, [Range(10, 2), Range(11, 1)], [11, 10]),
        (2, [Range(10, 0)], []),
        (2, [], []),
    ],
)
def test_the_last_ids_are_taken(count: int, ranges: list[Range], ids: list[int]) -> None:
    assert last(count, ranges) == ids


def test_each_id_is_mapped_by_itself() -> None:
    assert mapping((953, 1000), 1001, [Range(100000, 10)]) == "0 1001 1 953 100009 1 1000 100008 1"
    with pytest.raises(SystemFailure, match="cannot map 2 ids into the sandbox: you have 1 subordinate ids"):
        mapping((953, 1000), 1001, [Range(100000, 1)])
