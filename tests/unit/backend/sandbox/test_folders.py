"""Files that names of the pretend internet serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.sandbox.pretend import folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    served = tmp_path / "served"
    (served / "simple/a+b").mkdir(parents=True)
    (served / "simple/index.html").write_text("index")
    (served / "simple/a+b/x 1.tgz").write_text("package")
    (tmp_path / "secret").write_text("secret")
    (served / "out").symlink_to(tmp_path / "secret")
    return served


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/simple/", (b"index", "text/html")),
        ("/simple/a+b/x%201.tgz", (b"package", "application/x-tar")),
        ("/simple", None),
        ("/simple/a+b/", None),
        ("/missing", None),
        ("/", None),
        ("/../secret", None),
        ("/%2e%2e/secret", None),
        ("//secret", None),
        ("/out", None),
        ("/simple/%00", None),
    ],
)
def test_only_files_in_the_folder_are_found(folder: Path, path: str, found: tuple[bytes, str] | None) -> None:
    assert folders.file(folder, path) == found
