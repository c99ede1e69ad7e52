"""What is said of an export."""

import pytest

from backend.work.export import contents


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "the work tree"),
        (["heads/main"], "the work tree and 1 branch"),
        (["heads/main", "heads/a/b", "stash/0"], "the work tree, 2 branches and 1 stash"),
        (["heads/main", "tags/v1", "stash/0", "stash/1"], "the work tree, 1 branch, 1 tag and 2 stashes"),
    ],
)
def test_what_is_in_a_bundle_is_counted_by_kind(names: list[str], says: str) -> None:
    assert contents(names) == says
