import pytest

from backend.sandbox.own_refs import Taken, clean, plain


@pytest.mark.parametrize(
    ("sandbox", "branch", "ref"),
    [
        ("box", "topic", "refs/heads/codetainer/box/topic"),
        ("a..b", "topic", "refs/heads/codetainer/a-b/topic"),
        ("a.lock", "topic", "refs/heads/codetainer/a-lock/topic"),
        ("a.", "topic", "refs/heads/codetainer/a/topic"),
        ("box", "HEAD", "refs/heads/codetainer/box/branch"),
        ("box", "", "refs/heads/codetainer/box/tree"),
        ("box", "-x", "refs/heads/codetainer/box/x"),
    ],
)
def test_names_of_refs(sandbox: str, branch: str, ref: str) -> None:
    assert plain(sandbox, branch) == ref


def test_a_valid_name_is_kept() -> None:
    for name in ("fix/größe", "a.b", "x_1", "v1.2.3", "@x", "#12", "l" * 180):
        assert clean(name) == name


def test_each_part_that_is_taken_gets_a_number() -> None:
    taken = Taken(["refs/heads/codetainer", "refs/heads/codetainer-2/box"])
    assert taken.free("box", "a/b") == "refs/heads/codetainer-2/box-2/a/b"
    assert taken.free("box", "a/b") == "refs/heads/codetainer-2/box-2/a/b-2"
    assert taken.free("box", "a/b/c") == "refs/heads/codetainer-2/box-2/a/b-3/c"
    assert taken.free("box", "A") == "refs/heads/codetainer-2/box-2/A-2"
