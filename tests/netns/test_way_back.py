"""Hostile answers of an agent's side to `codetainer up --work`: the operator's repository gets the named refs, and no more.

Every case runs the receiver as `up` does, in a process of its own (operators.py).

Length: tables of cases.
"""

from __future__ import annotations

import os
import re
import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from backend.sandbox import way_back
from backend.sandbox.receiver import Failure
from backend.sandbox.way_back import Returned, WayBack
from tests.netns.hostile_git import (
    FILE,
    FOLDER,
    LINK,
    REF_DELTA,
    SUBMODULE,
    WHO,
    Objects,
    answer,
    number,
    pack_of,
)
from tests.netns.operators import BELOW, Operator, contents, git, model, operator, received

pytestmark = pytest.mark.netns

MISSING = "1" * 40
__all__ = ["model", "operator"]


# --- branches ---


def child(operator: Operator, made: Objects, message: str = "two") -> str:
    return made.commit(operator.tree, operator.commit, message=message)


@pytest.mark.parametrize(
    ("names", "refs"),
    [
        (["topic"], ["topic"]),
        (["a/b/c"], ["a/b/c"]),
        (["a", "a/b"], ["a", "a-2/b"]),
        (["a/b", "a"], ["a/b", "a-2"]),
        (["Topic", "topic"], ["Topic", "topic-2"]),
        (["A/x", "a/y"], ["A/x", "a-2/y"]),
        (["caf\u00e9", "cafe\u0301"], ["caf\u00e9", "cafe\u0301-2"]),
        (["\ufb01x", "fix"], ["\ufb01x", "fix-2"]),
        (["a\nb", "a-b"], ["a-b", "a-b-2"]),
        (["two words"], ["two-words"]),
        (["\x1b]0;x\x07"], ["0-x"]),
        (["../../../main"], ["main"]),
        (["../main"], ["main"]),
        (["x/../../../../HEAD"], ["x-HEAD"]),
        (["x/./y"], ["x-y"]),
        (["/etc/passwd"], ["etc-passwd"]),
        (["x//y"], ["x-y"]),
        (["HEAD"], ["branch"]),
        (["@"], ["tree"]),
        (["-delete"], ["delete"]),
        (["x.lock"], ["x-lock"]),
        (["x.lock/y"], ["x-lock-y"]),
        (["x@{1}"], ["x-1"]),
        (["x^0", "x~1", "x:y", "x?", "x*", "x[", "x\\y"], ["x-0", "x-1", "x-y", "x", "x-2", "x-3", "x-y-2"]),
        (["x\0refs/heads/main"], ["x-refs-heads-main"]),
        (["l" * 300], ["l" * 40]),
        (["$(touch ran)", "`x`;&|"], ["touch-ran", "`x`;&|"]),
        (["ab\u202egpj.exe"], ["ab-gpj-exe"]),
        (["zero\u200bwidth"], ["zero-width"]),
        (["bad\udcff"], ["bad"]),
        (["lone\ud800"], ["lone"]),
        (["codetainer/box/x"], ["codetainer/box/x"]),
        (["refs/heads/main"], ["refs/heads/main"]),
    ],
)
def test_names_of_branches(operator: Operator, names: list[str], refs: list[str]) -> None:
    made = Objects()
    commits = {name: child(operator, made, ascii(name)) for name in names}
    taken = operator.take(answer(commits, made.pack()))
    assert isinstance(taken, way_back.Result)
    assert operator.refs() == dict(zip(refs, commits.values(), strict=True))
    assert [one.ref for one in taken.returned.values()] == [BELOW + ref for ref in refs]


@pytest.mark.parametrize(
    "name",
    ["refs/tags/v1", f"refs/replace/{'2' * 40}", "refs/notes/commits", "refs/stash", "refs/remotes/origin/main", "refs/heads/",
     "refs/headsx", "main", "FETCH_HEAD", "refs/bisect/bad", "../refs/heads/main"],
)  # fmt: skip
def test_refs_that_are_no_branches_are_ignored(operator: Operator, name: str) -> None:
    made = Objects()
    taken = operator.take(answer([[name, child(operator, made)]], made.pack()))
    assert isinstance(taken, way_back.Result)
    assert not taken.returned
    assert operator.refs() == {}


def test_a_detached_head_comes_back(operator: Operator) -> None:
    made = Objects()
    commit = child(operator, made)
    operator.take(answer([["HEAD", commit]], made.pack()))
    assert operator.refs() == {"detached": commit}


def test_branches_without_commits_of_their_own_need_no_ref(operator: Operator) -> None:
    made = Objects()
    operator.take(answer({"main": operator.commit, "new": child(operator, made)}, made.pack()))
    assert list(operator.refs()) == ["new"]


def test_too_many_branches_are_left_out_and_counted(operator: Operator) -> None:
    made = Objects()
    commit = child(operator, made)
    most = way_back.MAX_BRANCHES
    taken = operator.take(answer({f"b{number}": commit for number in range(most + 7)}, made.pack()))
    assert isinstance(taken, way_back.Result)
    assert len(operator.refs()) == most
    assert taken.more == 7
    again = operator.take(answer({"more": commit}, made.pack()), so_far=WayBack(created=taken.created))
    assert isinstance(again, way_back.Result)
    assert again.refused == {"refs/heads/more": commit}
    assert f"left out, because {most} branches" in again.notes[0]


# --- refs that exist ---


def advance(operator: Operator, ref: str, message: str) -> str:
    """Makes a commit of the operator's own and sets a ref to it."""
    commit = git(operator.folder, "commit-tree", "-p", operator.commit, "-m", message, operator.tree)
    git(operator.folder, "update-ref", ref, commit)
    return commit


@pytest.mark.parametrize(
    ("own", "ref"),
    [
        ("refs/heads/codetainer", "refs/heads/codetainer-2/box/topic"),
        ("refs/heads/codetainer/box", "refs/heads/codetainer/box-2/topic"),
        ("refs/heads/codetainer/box/topic", "refs/heads/codetainer/box/topic-2"),
        ("refs/heads/codetainer/box/topic/x", "refs/heads/codetainer/box/topic-2"),
        ("refs/heads/codetainer/box/TOPIC", "refs/heads/codetainer/box/topic-2"),
        ("refs/heads/Codetainer/x", "refs/heads/codetainer-2/box/topic"),
    ],
)
def test_a_ref_of_the_operators_is_not_replaced(operator: Operator, own: str, ref: str) -> None:
    kept = advance(operator, own, "own")
    made = Objects()
    commit = child(operator, made)
    taken = operator.take(answer({"topic": commit}, made.pack()))
    assert isinstance(taken, way_back.Result)
    assert taken.returned == {"refs/heads/topic": Returned(ref, commit)}
    assert git(operator.folder, "rev-parse", own, ref).split() == [kept, commit]
    shutil.rmtree(operator.folder / ".git/refs/heads/codetainer-2", ignore_errors=True)  # for the comparison


def test_a_descendant_of_an_earlier_sandboxs_commit_continues_its_ref(operator: Operator) -> None:
    earlier = advance(operator, f"{BELOW}topic", "earlier")
    made = Objects()
    commit = made.commit(operator.tree, earlier)
    operator.take(answer({"topic": commit}, made.pack()))
    assert operator.refs() == {"topic": commit}


def test_rewritten_history_keeps_the_commit_that_had_come_back(operator: Operator) -> None:
    first, second = Objects(), Objects()
    old, new = child(operator, first, "old"), child(operator, second, "new")
    so_far = WayBack()
    for commit, made in ((old, first), (new, second)):
        taken = operator.take(answer({"topic": commit}, made.pack()), so_far=so_far)
        assert isinstance(taken, way_back.Result)
        so_far.add(taken)
    assert operator.refs() == {"topic": new, "topic-2": old}
    assert so_far.kept == [f"{BELOW}topic-2"]


def test_a_branch_that_is_checked_out_is_not_moved(operator: Operator) -> None:
    first, second = Objects(), Objects()
    old = child(operator, first)
    so_far = WayBack()
    taken = operator.take(answer({"topic": old}, first.pack()))
    assert isinstance(taken, way_back.Result)
    so_far.add(taken)
    git(operator.folder, "symbolic-ref", "HEAD", f"{BELOW}topic")
    new = second.commit(operator.tree, old)
    operator.take(answer({"topic": new}, second.pack()), so_far=so_far)
    assert operator.refs() == {"topic": old, "topic-2": new}


def test_a_symbolic_ref_is_not_followed(operator: Operator) -> None:
    git(operator.folder, "symbolic-ref", f"{BELOW}topic", "refs/heads/main")
    made = Objects()
    commit = child(operator, made)
    operator.take(answer({"topic": commit}, made.pack()))
    assert git(operator.folder, "rev-parse", "main") == operator.commit
    assert operator.refs() == {"topic": operator.commit, "topic-2": commit}


def test_a_locked_ref_does_not_hold_up_the_others(operator: Operator) -> None:
    lock = operator.folder / ".git" / f"{BELOW}topic.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    made = Objects()
    commit = child(operator, made)
    taken = operator.take(answer({"topic": commit, "other": commit}, made.pack()))
    assert isinstance(taken, way_back.Result)
    assert taken.refused == {"refs/heads/topic": commit}
    assert "cannot set" in taken.notes[0] and "topic" in taken.notes[0]
    assert operator.refs() == {"other": commit}


# --- objects ---

Build = Callable[[Operator, Objects], str]


def of_tree(*entries: tuple[str, str, str]) -> Build:
    """A commit with these files; an object "" is an empty blob."""

    def build(operator: Operator, made: Objects) -> str:
        blob = made.blob("")
        return made.commit(made.tree(*((mode, name, one or blob) for mode, name, one in entries)), operator.commit)

    return build


def of_modules(text: str, mode: str = FILE) -> Build:
    return lambda operator, made: made.commit(made.tree((mode, ".gitmodules", made.blob(text))), operator.commit)


def of_raw(text: str) -> Build:
    return lambda operator, made: made.add("commit", text.format(tree=operator.tree, parent=operator.commit, who=WHO).encode())


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda o, m: MISSING, "commit is missing"),
        (lambda o, m: m.blob("x"), "no commit"),
        (lambda o, m: o.blob, "no commit"),
        (lambda o, m: m.tree(), "no commit"),
        (lambda o, m: m.add("tag", f"object {o.commit}\ntype commit\ntag x\ntagger {WHO}\n\nx\n".encode()), "no commit"),
        (lambda o, m: m.commit(MISSING, o.commit), "did not receive expected object"),
        (lambda o, m: m.commit(m.tree((FILE, "x", MISSING))), "did not receive expected object"),
        (lambda o, m: m.commit(o.tree, MISSING), "did not receive expected object"),
        (lambda o, m: m.commit(o.blob, o.commit), "expected type tree, found blob"),
        (of_tree((FOLDER, ".git", "4b825dc642cb6eb9a060e54bf8d69288fbee4904")), "hasDotgit"),
        (of_tree((FILE, ".GIT", "")), "hasDotgit"),
        (of_tree((FILE, "git~1", "")), "hasDotgit"),
        (of_tree((FILE, ".g\u200cit", "")), "hasDotgit"),
        (of_tree((FILE, "..", "")), "hasDotdot"),
        (of_tree((FILE, ".", "")), "hasDot"),
        (of_tree((FILE, "../x", "")), "fullPathname"),
        (of_tree((FILE, "", "")), "empty"),
        (of_tree((FILE, "x", ""), (FILE, "x", "")), "duplicateEntries"),
        (of_tree((FILE, "b", ""), (FILE, "a", "")), "treeNotSorted"),
        (of_tree(("0100644", "x", "")), "zeroPaddedFilemode"),
        (of_tree((LINK, ".gitmodules", "")), "gitmodulesSymlink"),
        (of_modules('[submodule "../../hooks"]\n\tpath = a\n\turl = https://x.test/a\n'), "gitmodulesName"),
        (of_modules('[submodule "a"]\n\tpath = -x\n\turl = https://x.test/a\n'), "gitmodulesPath"),
        (of_modules('[submodule "a"]\n\tpath = a\n\turl = -u./payload\n'), "gitmodulesUrl"),
        (of_modules('[submodule "a"]\n\tpath = a\n\turl = https://x.test/a\n\tupdate = !touch x\n'), "gitmodulesUpdate"),
        (of_raw("tree {tree}\nparent {parent}\ncommitter {who}\n\nx\n"), "missingAuthor"),
        (of_raw("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nx\0y\n"), "nulInCommit"),
        (of_raw("tree {tree}\nparent {parent}\nauthor A <a\n@b> 1 +0000\ncommitter {who}\n\nx\n"), "badEmail|missing"),
        (of_raw("tree {tree}\nparent {parent}\nauthor A <a@b> 99999999999999999999 +0000\ncommitter {who}\n\nx\n"), "badDate"),
        (of_raw("nonsense\n"), "missingTree|bogus|invalid|parse"),
    ],
)
def test_objects_that_git_refuses(operator: Operator, build: Build, reason: str) -> None:
    made = Objects()
    commit = build(operator, made)
    made.blob("so that the pack is not empty")
    taken = operator.take(answer({"topic": commit}, made.pack()))
    assert isinstance(taken, Failure)
    assert re.search(f"(?i){reason}", taken.problem), taken.problem
    assert taken.branches == {"refs/heads/topic": commit}
    assert operator.refs() == {}


def test_a_commit_on_a_history_that_is_incomplete_in_the_repository(operator: Operator) -> None:
    """The parent exists there, as what `git gc` has left of a deleted branch, but the parent's parent does not."""
    left = Objects()
    parent = left.commit(operator.tree, MISSING)
    kind, data = left.made[parent]
    file = operator.folder / ".git/objects" / parent[:2] / parent[2:]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(zlib.compress(f"{kind} {len(data)}\0".encode() + data))
    made = Objects()
    taken = operator.take(answer({"topic": made.commit(operator.tree, parent)}, made.pack()))
    assert isinstance(taken, Failure)
    assert "objects are missing" in taken.problem
    assert operator.refs() == {}


@pytest.mark.parametrize(
    "build",
    [
        of_tree((LINK, "out", "")),
        lambda o, m: m.commit(m.tree((LINK, "out", m.blob("../../../etc/passwd"))), o.commit),
        lambda o, m: m.commit(m.tree((FILE, ".gitattributes", m.blob("* filter=trap diff=trap\n"))), o.commit),
        lambda o, m: m.commit(m.tree((FOLDER, ".githooks", m.tree(("100755", "post-merge", m.blob("touch x"))))), o.commit),
        lambda o, m: m.commit(m.tree((SUBMODULE, "odd name;$(x)", MISSING)), o.commit),
        of_modules('[submodule "a"]\n\tpath = a\n\turl = https://x.test/a\n'),
        lambda o, m: m.commit(m.tree(), message="no history in common"),
        lambda o, m: m.commit(m.tree((FILE, ".env", m.blob("x")), (FILE, "untracked", m.blob("y"))), o.commit),
    ],
    ids=["link", "link out", "filter", "hooks", "submodule", "gitmodules", "unrelated", "ignored"],
)
def test_files_that_only_a_checkout_could_run_come_back_as_data(operator: Operator, build: Build) -> None:
    made = Objects()
    commit = build(operator, made)
    operator.take(answer({"topic": commit}, made.pack()))
    assert operator.refs() == {"topic": commit}
    assert not (operator.folder / "out").is_symlink()


# --- packs ---


def good(operator: Operator) -> tuple[str, bytes]:
    made = Objects()
    return child(operator, made), made.pack()


def _thin(operator: Operator, commit: str, pack: bytes) -> bytes:
    delta = number(4) + number(4) + bytes([4]) + b"two\n"
    return pack_of([(REF_DELTA, bytes.fromhex(operator.blob), delta)])


def _bomb(operator: Operator, commit: str, pack: bytes) -> bytes:
    made = Objects()
    base = made.blob("one\n\n")
    delta = number(5) + number(1 << 40) + bytes([0x91, 0, 5])
    return pack_of([(3, b"", b"one\n\n"), (REF_DELTA, bytes.fromhex(base), delta)])


@pytest.mark.parametrize(
    "change",
    [
        lambda o, c, p: b"",
        lambda o, c, p: b"garbage" * 100,
        lambda o, c, p: p[:-21],
        lambda o, c, p: p[:40],
        lambda o, c, p: p[:-20] + b"\0" * 20,
        lambda o, c, p: p[:30] + bytes([p[30] ^ 255]) + p[31:],
        lambda o, c, p: p[:4] + (9).to_bytes(4) + p[8:],
        lambda o, c, p: pack_of([], 0),
        lambda o, c, p: pack_of([(1, b"", b"x")], (1 << 32) - 1),
        lambda o, c, p: pack_of([(5, b"", b"x")]),
        lambda o, c, p: pack_of([(3, b"", os.urandom(1 << 21))]),
        _thin,
        _bomb,
    ],
    ids=["none", "garbage", "no checksum", "cut", "wrong checksum", "flipped", "version", "empty", "count", "kind", "giant",
         "thin", "delta bomb"],
)  # fmt: skip
def test_packs_that_git_refuses(operator: Operator, change: Callable[[Operator, str, bytes], bytes]) -> None:
    commit, pack = good(operator)
    taken = operator.take(answer({"topic": commit}, change(operator, commit, pack)))
    assert isinstance(taken, Failure), taken
    assert operator.refs() == {}


def test_what_follows_a_pack_is_ignored(operator: Operator) -> None:
    commit, pack = good(operator)
    operator.take(answer({"topic": commit}, pack + b"refs/heads/main\n" * 1000))
    assert operator.refs() == {"topic": commit}


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\n",
        b"not json\n",
        b"[]\n",
        b"null\n",
        b'{"refs": {"refs/heads/x": "y"}, "more": 0, "notes": []}\n',
        b'{"refs": [["refs/heads/x"]], "more": 0, "notes": []}\n',
        b'{"refs": [["refs/heads/x", 7]], "more": 0, "notes": []}\n',
        b'{"refs": [["refs/heads/x", "--stdin"]], "more": 0, "notes": []}\n',
        b'{"refs": [["refs/heads/x", "HEAD"]], "more": 0, "notes": []}\n',
        b'{"refs": [], "more": 0, "notes": 7}\n',
        b'{"refs": [], "more": ' + b"9" * 5000 + b', "notes": []}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (3 << 20),
        answer({f"b{number}": MISSING for number in range(100_000)}),
    ],
    ids=str,
)
def test_lists_of_branches_that_are_refused(operator: Operator, stream: bytes) -> None:
    taken = operator.take(stream)
    assert isinstance(taken, Failure)
    assert "list of branches" in taken.problem
    assert operator.refs() == {}


def test_a_silent_agent_is_given_up(operator: Operator) -> None:
    operator.before = contents(operator.folder)
    reading, writing = os.pipe()
    try:
        taken = received(replace(operator.target, seconds=0.2), reading, WayBack())
        commit, pack = good(operator)
        os.write(writing, answer({"topic": commit}, pack[:20]))
        cut = received(replace(operator.target, seconds=0.5), reading, WayBack())
    finally:
        os.close(reading)
        os.close(writing)
    for failure in (taken, cut):
        assert isinstance(failure, Failure)
        assert "took too long" in failure.problem or "not done within" in failure.problem
