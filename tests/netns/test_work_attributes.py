"""Restored work has the agent's bytes, although attributes (gitattributes(5)) make git convert files on checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.work.export import WRITTEN, Form
from tests.netns.test_work_export import operators, printed, restored, state
from tests.netns.work import restore
from tests.netns.work_room import Room

pytestmark = pytest.mark.netns

KINDS = "*.u16 text working-tree-encoding=UTF-16LE\n*.crlf text eol=crlf\n*.id ident\n*.odd working-tree-encoding=none-such\n"
BEFORE = r"printf 'a\0\n\0' > x.u16; printf 'k\0\n\0' > kept.u16; printf '1\r\n2\r\n' > y.crlf; echo '$Id$' > z.id"
CHANGED = r"""
printf 'b\0\n\0' > x.u16; printf 'no mark\n' > 'new one.u16'; printf '1\n2\r\n' > y.crlf; printf 'n\n' > new.crlf
echo '$Id: mine $' > z.id; echo '$Id: new $' > new.id; echo odd > new.odd; echo plain > plain; ln -s /none-such link.u16
printf 's\n' > staged.crlf; git add staged.crlf; printf 's\nt\n' > staged.crlf; rm one
"""


def files_of(folder: Path) -> dict[str, bytes]:
    """Returns the files of a work tree with their bytes."""
    files = (path for path in folder.rglob("*") if ".git" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file() and not path.is_symlink()}


@pytest.mark.parametrize("whose", ["pushed", "the agent's", "the agent's clone hides them"])
def test_attributes_do_not_change_what_is_restored(room: Room, whose: str, capfd: pytest.CaptureFixture[str]) -> None:
    """git converts these files on checkout and reports success; the printed command then rewrites them."""
    room.clone()
    (room.repo / ".gitattributes").write_text(KINDS)
    if whose == "the agent's":
        room.shell(CHANGED)
    else:
        room.shell(f"{BEFORE}; git add .; git commit -qm attributes; git push -q file://{room.folder}/remote main")
        room.shell("git update-ref refs/remotes/origin/main main")
        if whose == "the agent's clone hides them":
            (room.repo / ".git/info/attributes").write_text("* -text !eol -ident !working-tree-encoding\n")
        room.shell(CHANGED)
    clone = operators(room)
    code, file = room.export()
    assert code == WRITTEN
    (clone / "work.bundle").write_bytes(file.read_bytes())
    before = state(room, clone)
    room.shell(printed(capfd.readouterr().err), clone)
    assert state(room, clone) == before
    assert files_of(restored(room)) == files_of(room.repo)
    assert (restored(room) / "link.u16").is_symlink()
    room.shell("git worktree remove --force ../work", clone)
    restore(clone, "refs/codetainer/wip")
    assert files_of(restored(room)) == files_of(room.repo)


def test_files_that_the_command_does_not_name_are_counted(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.clone()
    room.shell("echo '* text eol=crlf' > .gitattributes; for n in $(seq 30); do echo $n > $n; done; echo odd > $'a\\nline'")
    room.export()
    output = capfd.readouterr().err
    assert printed(output).count("git cat-file blob ") == 20
    assert "git converts 12 more files on checkout" in output  # and .gitattributes
    assert "git cat-file blob refs/codetainer/wip:FILE" in output


def test_a_patch_names_files_that_git_apply_would_convert(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.clone()
    room.shell("echo '*.crlf text eol=crlf' > .gitattributes; echo 1 > 'new one.crlf'; echo 2 > plain")
    room.export(form=Form.PATCH)
    assert "git apply converts 'new one.crlf' (.gitattributes)" in capfd.readouterr().err
