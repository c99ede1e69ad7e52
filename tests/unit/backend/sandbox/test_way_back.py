from pathlib import Path

from backend.sandbox.way_back import MAX_PROBLEMS, Result, Returned, WayBack

OWN = Path("/srv/my repo")


def returned(*branches: str) -> dict[str, Returned]:
    return {f"refs/heads/{name}": Returned(f"refs/heads/codetainer/box/{name}", "1" * 40) for name in branches}


def test_nothing_is_said_if_nothing_came_back() -> None:
    so_far = WayBack()
    so_far.add(Result(seen={"refs/heads/main": "1" * 40}))
    assert so_far.text(OWN) == ""


def test_branches_and_how_to_merge_them() -> None:
    so_far = WayBack()
    so_far.add(Result(returned("topic", "it's"), kept=["refs/heads/codetainer/box/topic-2"], more=3))
    text = so_far.text(OWN)
    assert text.startswith("codetainer: commits came back to /srv/my repo: 'codetainer/box/it'\"'\"'s', codetainer/box/topic\n")
    assert "replaced since: codetainer/box/topic-2\n" in text
    assert "too many: 3\n" in text
    assert "cd '/srv/my repo' && " in text
    assert "merge --ff-only --no-overwrite-ignore" in text


def test_what_the_agent_chose_is_escaped() -> None:
    so_far = WayBack()
    so_far.add(Result(notes=["bad \x1b]0;x\x07 \u202e name"]))
    assert so_far.text(OWN) == "codetainer: not everything came back: bad \\x1b]0;x\\x07 \\u202e name\n"


def test_problems_are_named_once_and_bounded() -> None:
    so_far = WayBack()
    for number in (*range(20), 19):
        so_far.failed(f"problem {number}")
    assert so_far.problems == [f"problem {number}" for number in range(20 - MAX_PROBLEMS, 20)]


def test_it_can_be_stored() -> None:
    so_far = WayBack()
    so_far.add(Result(returned("topic"), kept=["x"], notes=["y"], created=2, more=1))
    assert WayBack.load(so_far.dump()) == so_far
