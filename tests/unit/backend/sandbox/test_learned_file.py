"""The result of a learning run in the operator's folder: no other file is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract.paths import Paths
from backend.sandbox import learned_file
from backend.sandbox.learned_file import LearnedFile
from backend.settings import SettingsError
from network.learning.file import NOTHING

TEXT = "a.example read\n"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "root")
    made.run.mkdir(parents=True)
    made.learned.write_text(TEXT)
    return made


def ended(file: Path, paths: Paths) -> str:
    """What `up` says after the sandbox's own copy is gone by its path."""
    learned = LearnedFile(file)
    learned.require_new()
    learned.hold(paths)
    paths.run.rename(paths.run.with_name("gone"))
    return learned.write()


def test_the_file_is_written_when_the_sandboxs_path_is_gone(tmp_path: Path, paths: Paths) -> None:
    file = tmp_path / "out.conf"
    assert f"wrote {file}; read it" in ended(file, paths)
    assert file.read_text() == TEXT


def test_an_existing_file_is_an_error_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("file", "link", "absent/folder"):
        file = tmp_path / name
        if name == "file":
            file.write_text("mine")
        elif name == "link":
            file.symlink_to(tmp_path / "nowhere")
        with pytest.raises(SettingsError):
            learned_file.begin(file)
    assert (tmp_path / "file").read_text() == "mine"
    assert capsys.readouterr().err == ""


def test_a_file_that_appeared_meanwhile_is_not_replaced(tmp_path: Path, paths: Paths) -> None:
    file = tmp_path / "out.conf"
    learned = LearnedFile(file)
    learned.hold(paths)
    file.write_text("mine")
    assert f"wrote {tmp_path / 'out-2.conf'}" in learned.write()
    assert (file.read_text(), (tmp_path / "out-2.conf").read_text()) == ("mine", TEXT)


def test_nothing_is_written_if_nothing_was_learned(tmp_path: Path, paths: Paths) -> None:
    paths.learned.write_text(f"# Allowlist\n{NOTHING}\n")
    assert "was not written" in ended(tmp_path / "out.conf", paths)
    assert not (tmp_path / "out.conf").exists()


def test_a_link_in_the_sandbox_is_not_followed(tmp_path: Path, paths: Paths) -> None:
    paths.learned.unlink()
    paths.learned.symlink_to("/etc/hostname")
    assert "cannot write" in ended(tmp_path / "out.conf", paths)


def test_a_boot_that_did_not_begin_leaves_nothing(tmp_path: Path) -> None:
    learned = LearnedFile(tmp_path / "out.conf")
    learned.hold(Paths(tmp_path / "absent"))
    assert learned.write() == ""


def test_the_run_is_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned_file.begin(tmp_path / "out.conf")
    assert capsys.readouterr().err == f"codetainer: {learned_file.BEGINS}\n"
