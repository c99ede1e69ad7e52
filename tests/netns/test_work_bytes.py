"""Files are saved byte for byte despite attributes, and files that a checkout converted do not count as work."""

from __future__ import annotations

import pytest

from backend.work.export import WRITTEN, Form
from tests.netns.test_work_damage import exported, kept, lying, saved
from tests.netns.work_room import Room

pytestmark = pytest.mark.netns

UTF16 = "printf 'h\\0i\\0' > new.u16"
LINES = "printf 'a\\r\\nb\\r\\n' > new; printf 'one\\r\\n' > one"
CONVERTED = {
    "an encoding, and no byte order mark": f"echo '*.u16 working-tree-encoding=UTF-16' > .gitattributes; {UTF16}",
    "an encoding in the repository's own attributes": f"echo '* working-tree-encoding=UTF-16' > .git/info/attributes; {UTF16}",
    "an unknown encoding": "echo '* working-tree-encoding=no-such' > .gitattributes; echo x > new",
    "an encoding by a macro": f"printf '[attr]wide working-tree-encoding=UTF-16\\n*.u16 wide\\n' > .gitattributes; {UTF16}",
    "text": f"echo '* text' > .gitattributes; {LINES}",
    "text with carriage returns": f"echo '* text=auto eol=crlf' > .gitattributes; {LINES}; printf 'a\\nb\\r\\n' > mixed",
    "the old name of text": f"echo '* crlf' > .gitattributes; {LINES}",
    "ident": "echo '* ident' > .gitattributes; echo '$Id: abc $' > new; echo '$Id: def $' > one",
    "a missing filter": "echo '* filter=lfs' > .gitattributes; git config filter.lfs.required true; echo y > one",
    "core.autocrlf": f"git config core.autocrlf true; {LINES}",
    "the agent's own core.autocrlf": f"git config --global core.autocrlf input; {LINES}",
    "core.safecrlf": f"git config core.safecrlf true; git config core.autocrlf input; {LINES}; printf 'a\\nb\\r\\n' > mixed",
    "core.attributesFile": f"git config core.attributesFile ~/attributes; echo '* text ident' > ~/attributes; {LINES}",
    "the agent's own attributes": f"mkdir -p ~/.config/git; echo '* text' > ~/.config/git/attributes; {LINES}",
}


@pytest.mark.parametrize("case", CONVERTED)
def test_bytes_are_saved_unchanged_despite_attributes(room: Room, case: str) -> None:
    room.clone()
    room.shell(CONVERTED[case])
    assert room.counted()[0].anything
    code, files, output = exported(room)
    assert code == WRITTEN, output
    assert files == lying(room)
    assert saved(room)["left_out"] == []
    assert kept(room, "wip/x", room.folder / "remote") == lying(room)


@pytest.mark.parametrize("attributes", ["* text=auto eol=crlf", "* ident", "*.u16 text working-tree-encoding=UTF-16LE"])
def test_a_file_converted_by_a_checkout_is_not_work(room: Room, attributes: str) -> None:
    room.shell(
        f"cd seed; echo '{attributes}' > .gitattributes; printf '$Id$\\n' > c; printf 'a\\0\\n\\0' > x.u16;"
        "git add .; git commit -qm converted; git push -q ../remote HEAD:main",
        room.folder,
    )
    room.clone()
    assert [(work.files, work.untracked, work.notes) for work in room.counted()] == [(0, 0, ())]


def test_a_file_rewritten_with_the_same_bytes_has_not_changed(room: Room) -> None:
    room.clone()
    room.shell("cat one > other; mv other one; touch -d '2001-01-01' two")
    assert [(work.files, work.untracked) for work in room.counted()] == [(0, 0)]
    room.shell("chmod +x one; ln -sf one two")
    assert [(work.files, work.untracked) for work in room.counted()] == [(2, 0)]


def test_a_patch_ignores_attributes_too(room: Room) -> None:
    room.clone()
    room.shell("echo '* -diff text diff=odd' > .gitattributes; git config diff.odd.textconv 'touch ~/ran; cat'")
    room.shell("printf 'o\\r\\n' > one")
    _, file = room.export(form=Form.PATCH)
    room.shell(f"git clone -q remote again; git -C again apply < {file}", room.folder)
    assert (room.folder / "again/one").read_bytes() == b"o\r\n"
    assert not (room.home / "ran").exists()
