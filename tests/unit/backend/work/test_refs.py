"""Refs as they lie in a repository's files: what is damaged is named, and hides nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.work import refs
from backend.work.refs import Head

A, B, C = "a" * 40, "b" * 40, "c" * 64


def repository(folder: Path, **files: str) -> Path:
    """Files by their names, with `/` written as `__` and `-` as `_`."""
    (folder / "refs").mkdir(parents=True)
    for name, said in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(said)
    return folder


def test_loose_refs_come_before_packed_ones(tmp_path: Path) -> None:
    made = repository(tmp_path, refs__heads__main=f"{A}\n", refs__heads__long=f"{C}\n")
    (made / "packed-refs").write_text(f"# pack-refs with: peeled\n{B} refs/heads/main\n{B} refs/tags/v1\n^{A}\n")
    found = refs.read(made)
    assert found.values == {"refs/heads/main": A, "refs/tags/v1": B, "refs/heads/long": C}
    assert found.notes == ()


def test_what_is_damaged_is_taken_from_elsewhere_or_named(tmp_path: Path) -> None:
    made = repository(tmp_path, refs__heads__empty="", refs__heads__logged="\0\0", refs__heads__older="garbage")
    (made / "packed-refs").write_text(f"{A} refs/heads/older\nnonsense\n{B} refs/heads/bad..name\n")
    (made / "logs/refs/heads").mkdir(parents=True)
    (made / "logs/refs/heads/logged").write_text(f"{'0' * 40} {B} A <a@example.com> 1 +0000\tcommit\n")
    found = refs.read(made)
    assert found.values == {"refs/heads/older": A, "refs/heads/logged": B}
    assert sorted(found.notes) == [
        "packed-refs is damaged: 1 line cannot be read",
        "refs/heads/empty cannot be read",
        "refs/heads/logged cannot be read: taken from its reflog",
        "refs/heads/older cannot be read: using an older value",
    ]


def test_refs_that_name_others(tmp_path: Path) -> None:
    made = repository(tmp_path, refs__heads__main=A, refs__remotes__origin__HEAD="ref: refs/heads/main\n")
    (made / "refs/heads/one").write_text("ref: refs/heads/two\n")
    (made / "refs/heads/two").write_text("ref: refs/heads/one\n")
    (made / "refs/heads/link").symlink_to("refs/heads/main")
    found = refs.read(made).values
    assert found == {"refs/heads/main": A, "refs/remotes/origin/HEAD": A, "refs/heads/link": A}


@pytest.mark.parametrize(
    ("said", "head"),
    [
        ("ref: refs/heads/main\n", Head("main", A)),
        ("ref: refs/heads/new\n", Head("new", "")),
        (f"{B}\n", Head("", B)),
        ("garbage", Head("", B, "HEAD cannot be read: taken from its reflog")),
        ("", Head("", B, "HEAD cannot be read: taken from its reflog")),
    ],
)
def test_where_head_is(tmp_path: Path, said: str, head: Head) -> None:
    made = repository(tmp_path, HEAD=said, refs__heads__main=A)
    (made / "logs").mkdir()
    (made / "logs/HEAD").write_text(f"{A} {B} A <a@example.com> 1 +0000\tcheckout\n")
    assert refs.head(made, refs.read(made)) == head


def test_a_head_that_is_not_there(tmp_path: Path) -> None:
    made = repository(tmp_path)
    assert refs.head(made, refs.read(made)) == Head("", "", "HEAD cannot be read: No such file or directory")


def test_a_pipe_is_waited_for_by_nobody(tmp_path: Path) -> None:
    made = repository(tmp_path)
    for name in ("HEAD", "packed-refs", "refs/pipe"):
        os.mkfifo(made / name)
    found = refs.read(made)
    assert found.values == {}
    assert found.notes == ("packed-refs cannot be read: not a regular file", "refs/pipe cannot be read")
    assert refs.head(made, found).note == "HEAD cannot be read"


def test_stashes_are_the_lines_of_a_log(tmp_path: Path) -> None:
    made = repository(tmp_path)
    (made / "logs/refs").mkdir(parents=True)
    (made / "logs/refs/stash").write_text(f"{'0' * 40} {A} A <a> 1 +0000\tone\n{A} {B} A <a> 2 +0000\ttwo\ngarbage\n")
    assert refs.read(made).stashes == (B, A)


def test_of_very_many_loose_refs_those_of_the_agent_are_read_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refs, "MAX_LOOSE", 100)
    made = repository(tmp_path, HEAD="ref: refs/heads/zzz/mine\n")
    for name in ("heads/zzz/mine", "tags/v1", *(f"remotes/origin/b{n:03}" for n in range(300))):
        (made / f"refs/{name}").parent.mkdir(parents=True, exist_ok=True)
        (made / f"refs/{name}").write_text(f"{A}\n")
    found = refs.read(made)
    assert {"refs/heads/zzz/mine", "refs/tags/v1"} < set(found.values)
    assert len(found.values) < 100
    assert found.notes == ("refs has more than 100 files and folders: those from refs/remotes/origin on are not examined",)
    for number in range(300):
        (made / f"refs/heads/a{number:03}").write_text(f"{B}\n")
    assert refs.read(made).values["refs/heads/zzz/mine"] == A


def test_of_very_many_packed_refs_the_rest_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git sorts them: tags come after remote-tracking refs."""
    monkeypatch.setattr(refs, "MAX_PACKED", 50)
    made = repository(tmp_path)
    lines = [f"{A} refs/{name}" for name in (*(f"remotes/origin/{n}" for n in range(80)), *(f"tags/{n}" for n in range(49)))]
    (made / "packed-refs").write_text("\n".join(lines))
    found = refs.read(made)
    assert (len(found.values), "refs/tags/48" in found.values) == (99, True)
    assert found.notes == (
        "packed-refs has more than 50 remote branches: commits that only the other 30 reach count as unpushed",
    )
    (made / "packed-refs").write_text("\n".join((*lines, f"{A} refs/tags/a", f"{A} refs/tags/b")))
    assert "packed-refs has more than 50 branches and tags: 1 are not examined" in refs.read(made).notes
    monkeypatch.setattr(refs, "MAX_PACKED_BYTES", 1 << 10)
    assert refs.read(made).notes == ("packed-refs is larger than 0 MB: the rest is not examined",)


def test_the_latest_stashes_of_a_very_long_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refs, "MAX_LOG", 1 << 10)
    made = repository(tmp_path)
    (made / "logs/refs").mkdir(parents=True)
    (made / "logs/refs/stash").write_text("".join(f"{A} {n:040x} A <a> 1 +0000\tone\n" for n in range(1, 100)))
    found = refs.read(made)
    assert found.stashes[:2] == (f"{99:040x}", f"{98:040x}")
    assert found.notes == (f"the list of stashes is larger than 0 MB: only the latest {len(found.stashes)} are examined",)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_whatever_stands_there_is_read_or_named(tmp_path_factory: pytest.TempPathFactory, packed: bytes, loose: bytes) -> None:
    made = repository(tmp_path_factory.mktemp("repository"))
    (made / "packed-refs").write_bytes(packed)
    (made / "refs/one").write_bytes(loose)
    (made / "HEAD").write_bytes(loose)
    found = refs.read(made)
    assert all(refs.OBJECT.match(value) for value in found.values.values())
    refs.head(made, found)
