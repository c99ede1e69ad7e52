"""Refs in the reftable format. The tables in `reftables/` (compressed) were written by git 2.47."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.work import refs, reftable
from backend.work.refs import Head
from tests import reftables

SHA1 = {
    "HEAD": "ref: refs/heads/feature",
    "ORIG_HEAD": "074ee7e4c93a8345c7e34c24b7d680b45365279c",
    "refs/heads/feature": "074ee7e4c93a8345c7e34c24b7d680b45365279c",
    "refs/heads/main": "df45659db52f41cc113a80a08f41259a49fa2267",
    "refs/heads/side": "074ee7e4c93a8345c7e34c24b7d680b45365279c",
    "refs/remotes/origin/HEAD": "ref: refs/remotes/origin/main",
    "refs/remotes/origin/main": "df45659db52f41cc113a80a08f41259a49fa2267",
    "refs/stash": "f542dc57f86fbef65ead6d0e5df4c566bd399187",
    "refs/tags/light": "074ee7e4c93a8345c7e34c24b7d680b45365279c",
    "refs/tags/v1": "3da9dd3c4661b39672ee23e3d73f36e1c9f7dd8a",
}
STASHES = ("f542dc57f86fbef65ead6d0e5df4c566bd399187", "90a7072d464939c026dfe69025a402251710ae14")  # a third was dropped
A, B = "a" * 40, "b" * 40


def written(case: str) -> list[tuple[str, bytes]]:
    """The tables of a stack that git wrote, the oldest first."""
    lines = Path(__file__).with_name("reftables").joinpath(f"{case}.txt").read_text().splitlines()
    return [(name, zlib.decompress(base64.b64decode(data))) for name, _, data in (line.partition(" ") for line in lines)]


def repository(folder: Path, tables: list[tuple[str, bytes]]) -> Path:
    (folder / "reftable").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/heads").write_text("this repository uses the reftable format\n")
    (folder / "HEAD").write_text("ref: refs/heads/.invalid\n")
    for name, data in tables:
        (folder / "reftable" / name).write_bytes(data)
    (folder / "reftable/tables.list").write_text("".join(f"{name}\n" for name, _ in tables))
    return folder


@pytest.mark.parametrize("case", ["sha1", "several"])
def test_refs_that_git_wrote_are_read(tmp_path: Path, case: str) -> None:
    """`several`: 21 tables that were not merged. Deleted branches and a dropped stash are in none of the results."""
    stack = reftable.stack(repository(tmp_path, written(case)) / "reftable")
    assert (stack.refs, stack.stashes, stack.notes) == (SHA1, STASHES, [])


def test_long_object_names(tmp_path: Path) -> None:
    stack = reftable.stack(repository(tmp_path, written("sha256")) / "reftable")
    assert set(stack.refs) == set(SHA1)
    assert {len(value) for name, value in stack.refs.items() if not value.startswith("ref: ")} == {64}
    assert stack.stashes == (
        "a0a48b9ed01e7d025ea7183beb3a29faf43ebe9afa1693767b20fc33ea88150b",
        "80c91967d926919136a427e413cfb6348ecb91ff31742f44fbaac85d34b77ca9",
    )


def test_a_table_of_many_blocks(tmp_path: Path) -> None:
    stack = reftable.stack(repository(tmp_path, written("blocks")) / "reftable")
    branches = [name for name in stack.refs if name.startswith("refs/heads/b/")]
    assert branches == [f"refs/heads/b/{number}" for number in range(100, 161)]
    assert {stack.refs[name] for name in branches} == {"da3a94eaf3550a3deb47375f776948ab40f174ba"}
    assert stack.stashes == ("47a74da02e88f99aa57a2995cd929cc0f993c8f6", "cadb63e20f7effa683d142f01d960dcbeaa7dc52")


def test_a_repository_of_tables_has_branch_refs_and_stashes(tmp_path: Path) -> None:
    made = repository(tmp_path, written("sha1"))
    all_refs = refs.read(made)
    resolved = {name: SHA1.get(value.removeprefix("ref: "), value) for name, value in SHA1.items() if name.startswith("refs/")}
    assert (all_refs.values, all_refs.stashes, all_refs.notes) == (resolved, STASHES, ())
    assert refs.head(made, all_refs) == Head("feature", SHA1["refs/heads/feature"])


def test_an_added_work_tree_has_its_own_head(tmp_path: Path) -> None:
    made = repository(tmp_path, written("sha1"))
    own = made / "worktrees/side"
    repository(own, [("own.ref", reftables.table({"HEAD": "ref: refs/heads/side"}))])
    assert refs.head(own, refs.read(made)) == Head("side", SHA1["refs/heads/side"])


def test_a_detached_head(tmp_path: Path) -> None:
    made = repository(tmp_path, [("one.ref", reftables.table({"HEAD": A}))])
    assert refs.head(made, refs.read(made)) == Head("", A)


@pytest.mark.parametrize(
    ("damage", "note"),
    [
        (lambda folder: (folder / "tables.list").unlink(), "its refs cannot be read: reftable/tables.list: No such file"),
        (lambda folder: (folder / "new.ref").unlink(), "its refs cannot be read: reftable/new.ref is missing"),
        (lambda folder: (folder / "new.ref").write_bytes(b"x" * 200), "reftable/new.ref is damaged: unknown format"),
        (lambda folder: (folder / "tables.list").write_text("old.ref\n../new.ref\n"), "reftable/tables.list is damaged"),
    ],
)
def test_damage_is_noted_and_older_values_remain(tmp_path: Path, damage: object, note: str) -> None:
    old, new = {"HEAD": "ref: refs/heads/main", "refs/heads/main": A}, {"refs/heads/main": B}
    made = repository(tmp_path, [("old.ref", reftables.table(old)), ("new.ref", reftables.table(new))])
    assert refs.read(made).values == {"refs/heads/main": B}
    damage(made / "reftable")  # type: ignore[operator]
    all_refs = refs.read(made)
    assert note in str(all_refs.notes)
    head = refs.head(made, all_refs)
    if all_refs.values:
        assert (all_refs.values, head) == ({"refs/heads/main": A}, Head("main", A))
    else:
        assert head == Head("", "", "HEAD cannot be read: its tables (reftable) do not have it")


def test_a_table_left_beside_files_hides_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "refs/heads").mkdir(parents=True)
    (tmp_path / "refs/heads/main").write_text(A)
    (tmp_path / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / "reftable").mkdir()
    (tmp_path / "reftable/a.ref").write_bytes(reftables.table({"refs/heads/other": B}))
    (tmp_path / "reftable/tables.list").write_text("a.ref\n")
    assert refs.read(tmp_path).values == {"refs/heads/main": A, "refs/heads/other": B}


def test_names_that_are_invalid_are_left_out(tmp_path: Path) -> None:
    made = repository(tmp_path, [("a.ref", reftables.table({"refs/heads/a..b": A, "refs/../x": A, "refs/heads/b": B}))])
    assert refs.read(made).values == {"refs/heads/b": B}


OBJECTS = st.binary(min_size=20, max_size=20).map(bytes.hex)
NAMES = st.text(min_size=1, max_size=300).filter(lambda name: name.isprintable())


@given(st.dictionaries(NAMES, OBJECTS | NAMES.map("ref: {}".format)), st.lists(OBJECTS, max_size=40).map(tuple))
def test_what_is_written_is_read(values: dict[str, str], stashes: tuple[str, ...]) -> None:
    stack = reftable.Stack()
    reftable.add_table(stack, reftables.table(values, stashes))
    assert stack.refs == values
    assert stack.stashes == tuple(name for name in stashes if name.strip("0"))


@given(st.sampled_from(["sha1", "sha256", "blocks"]), st.data())
def test_altered_tables_raise_nothing_else(case: str, data: st.DataObject) -> None:
    """The checksum covers only the footer, so alterations elsewhere can pass or be found."""
    table = bytearray(written(case)[0][1])
    for _ in range(data.draw(st.integers(1, 4))):
        table[data.draw(st.integers(0, len(table) - 1))] = data.draw(st.integers(0, 255))
    try:
        reftable.add_table(reftable.Stack(), bytes(table[: data.draw(st.integers(0, len(table)))]))
    except reftable.Damaged as damage:
        assert str(damage)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_damage(content: bytes) -> None:
    try:
        reftable.add_table(reftable.Stack(), content)
    except reftable.Damaged as damage:
        assert str(damage)
