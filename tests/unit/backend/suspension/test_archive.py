"""The archive: what is written is read back, and any change of it is noticed before anything is used."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.suspension import archive, resumed
from backend.suspension.archive import BLOCK, TRAILER_BYTES, Writer
from backend.suspension.description import FOLDERS, FORMAT, Granted, Manifest, Suspended, Unreadable
from backend.suspension.resumed import NotResumable, Resumed, require_fit

STATE = Suspended(
    at=1000.0, version="1", repository="https://github.com/o/r", cloned=True, working=True,
    grants=(Granted("a.example", "443,80", "read", 99.5, "root"),), budget={"total": [1, 2, 3, 4, 0.5]},
    muted={"b.example": 0.0},
)  # fmt: skip
MANIFEST = Manifest(70, 3, {"workspace": 5 << 20, "home/claude": 0, "tmp": 0}, ("/tmp/s: a socket",), 2)
PIECES = (b"x" * 700, b"", b"y" * 512)


def written(file: Path, state: Suspended = STATE, manifest: Manifest = MANIFEST) -> bytes:
    with file.open("wb") as out:
        writer = Writer(out.fileno(), lambda _: None)
        writer.begin(state, b"journal")
        for piece in PIECES:
            writer.piece(piece)
        writer.finish(manifest)
    assert writer.size == file.stat().st_size
    return file.read_bytes()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written(tmp_path / "a.tar")
    with archive.opened(tmp_path / "a.tar") as opened:
        assert (opened.state, opened.manifest) == (STATE, MANIFEST)
        assert [opened.read(piece) for piece in opened.pieces] == list(PIECES)
        assert opened.read(opened.journal) == b"journal"


def test_it_is_a_tar_file_for_other_programs(tmp_path: Path) -> None:
    written(tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as opened:
        names = ["state.json", "journal.jsonl.gz", *(f"work.tar.zst.00000{n}" for n in (1, 2, 3)), "manifest.json", "sha256"]
        assert opened.getnames() == names
        assert {member.mode for member in opened.getmembers()} == {0o600}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("whole") / "a.tar")


@given(st.data())
def test_every_changed_bit_is_noticed(whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    assert_unreadable(bytes(changed), tmp_path_factory)


@given(st.data())
def test_every_shorter_or_longer_file_is_noticed(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    assert_unreadable(whole[: data.draw(st.integers(0, len(whole) - 1))], tmp_path_factory)
    assert_unreadable(whole + bytes(data.draw(st.integers(1, 3 * BLOCK))), tmp_path_factory)


@given(st.data())
def test_an_archive_that_was_just_written_is_complete_or_refused(whole: bytes, data: st.DataObject) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(whole)
        file.flush()
        archive.require_complete(file.fileno())
        file.truncate(data.draw(st.integers(0, len(whole) - 1)))
        with pytest.raises(Unreadable):
            archive.require_complete(file.fileno())


def assert_unreadable(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "changed.tar"
    file.write_bytes(data)
    with pytest.raises(Unreadable), archive.opened(file):
        pass


def test_a_newer_format_is_refused_in_words(tmp_path: Path) -> None:
    written(tmp_path / "a.tar", replace(STATE, format=FORMAT + 1))
    with pytest.raises(
        NotResumable, match=rf"it is of format {FORMAT + 1}, from a newer version; this version reads formats up"
    ):
        resumed.read(tmp_path / "a.tar")


def test_a_right_checksum_does_not_help_other_members(tmp_path: Path) -> None:

    whole = written(tmp_path / "a.tar")
    body = whole[:-TRAILER_BYTES] + archive.header("evil", 3) + b"abc" + bytes(BLOCK - 3)
    (tmp_path / "b.tar").write_bytes(body + archive.trailer(hashlib.sha256(body).hexdigest()))
    with pytest.raises(NotResumable, match="other members"):
        resumed.read(tmp_path / "b.tar")


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"{", b"{}" * 2, b"[" * 100_000, b'{"format": "1"}', b'{"format": 1, "at": Infinity}', b'{"format": 0}',
        b'{"format": 1, "grants": [{"name": 3, "ports": ""}]}', b'{"format": 1, "grants": [{"name": "a"}]}',
        b'{"format": 1, "muted": {"a": "b"}}',
    ],
)  # fmt: skip
def test_a_state_that_is_not_valid_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        Suspended.decode(body)


@pytest.mark.parametrize("changed", [{"entries": -1}, {"used": {}}, {"size": "x"}, {"entries": 1 << 40}])
def test_a_manifest_that_is_not_valid_is_refused(changed: dict[str, object]) -> None:
    body = json.loads(MANIFEST.encode()) | changed
    with pytest.raises(Unreadable):
        Manifest.decode(json.dumps(body).encode())


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "none"):
        with pytest.raises(NotResumable, match=f"cannot resume {path}: "):
            resumed.read(path)


# --- whether it fits ---

SIZES = dict.fromkeys(FOLDERS, 64 << 20)


def fit(repository: str, sizes: dict[str, int] = SIZES, state: Suspended = STATE) -> None:
    require_fit(Resumed(Path("/a"), "/a", state, MANIFEST, b""), repository, sizes)


@pytest.mark.parametrize("same", ["https://github.com/o/r", "https://github.com/O/R.git", "https://github.com/o/r/"])
def test_the_same_repository_fits(same: str) -> None:
    fit(same)
    fit("https://github.com/o/other", state=replace(STATE, repository=""))


def test_another_repository_does_not_fit() -> None:
    with pytest.raises(
        NotResumable, match=r"it is of https://github\.com/o/r, and REPO_URL is https://github\.com/o/other"
    ) as error:
        fit("https://github.com/o/other")
    assert error.value.hint == "Set REPO_URL=https://github.com/o/r."
    with pytest.raises(NotResumable, match="and REPO_URL is not set"):
        fit("")


def test_a_folder_that_is_too_small_is_named() -> None:
    with pytest.raises(NotResumable, match="/workspace has 5 MB in it, and only 4 MB here") as error:
        fit("https://github.com/o/r", {**SIZES, "workspace": 4 << 20})
    assert error.value.hint == "Set CODETAINER_TMPFS_WORKSPACE=69M or more."
