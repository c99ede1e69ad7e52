"""What fills a file system, from the output of du."""

from pathlib import Path

from backend.supervision import largest
from backend.tmpfs import Usage

PLACE = Path("/workspace")


def test_a_path_is_as_deep_as_most_of_its_contents() -> None:
    sizes = {"/workspace/repo": 100, "/workspace/repo/node_modules": 90, "/workspace/repo/node_modules/a": 20}
    assert largest.chosen(sizes) == [("/workspace/repo/node_modules", 90)]


def test_a_folder_of_equal_parts_is_listed_as_a_whole() -> None:
    sizes = {"/workspace/a": 100, "/workspace/a/1": 50, "/workspace/a/2": 50, "/workspace/ab": 10, "/workspace/b": 5}
    assert largest.chosen(sizes) == [("/workspace/a", 100), ("/workspace/ab", 10), ("/workspace/b", 5)]


def test_only_the_largest_few_are_listed() -> None:
    assert [path for path, _ in largest.chosen({f"/workspace/{n}": n for n in range(9)})] == [
        f"/workspace/{n}" for n in (8, 7, 6)
    ]


def test_names_of_the_agents_choice_are_data() -> None:
    text = "7\t/workspace/a\nb\tc\0x\t/workspace/d\0²\t/workspace/e\0nothing\0\0"
    assert largest.parse(text) == {"/workspace/a\nb\tc": 7}
    assert largest.shown("/workspace/a/b", PLACE) == "a/b"
    assert largest.shown("/workspace", PLACE) == ""


def test_nearly_full_is_told_by_bytes_and_by_files() -> None:
    assert (Usage(89, 100, 1, 100).crowded, Usage(90, 100, 1, 100).crowded) == (False, True)
    assert (Usage(1, 100, 89, 100).crowded_files, Usage(1, 100, 90, 100).crowded_files) == (False, True)
    assert not Usage(0, 0, 0, 0).crowded
    assert not Usage(0, 0, 0, 0).crowded_files
