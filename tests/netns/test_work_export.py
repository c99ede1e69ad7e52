"""The commands that an export prints, run unchanged in an operator's clone: none of the operator's files change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from backend.work import process
from backend.work.export import INCOMPLETE, PARTLY, WRITTEN, Form
from tests.netns.work_room import AHEAD, Room

pytestmark = pytest.mark.netns

OWN = b"KEY=of-the-operator\n"


def operators(room: Room) -> Path:
    """The operator's clone, with an ignored `.env` that exists nowhere else."""
    clone = room.folder / "operator/clone"
    clone.parent.mkdir()
    room.shell(f"git clone -q file://{room.folder}/remote {clone}", room.folder)
    (clone / ".env").write_bytes(OWN)
    room.shell("echo mine > mine; echo staged >> one; git add one; git tag theirs; git stash -q; echo 2 >> two", clone)
    return clone


def restored(room: Room) -> Path:
    """Returns the folder in which the printed commands restore the work."""
    return room.folder / "operator" / "work"


def state(room: Room, clone: Path) -> str:
    """Returns the operator's state: files, index, HEAD, branches, tags, stashes."""
    files = {
        str(path.relative_to(clone)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(clone.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(clone).parts
    }
    refs = "git for-each-ref | grep -Ev 'codetainer|origin/wip'"
    asked = f"cat .git/HEAD; git status --porcelain; git ls-files -s; {refs}; git stash list"
    return f"{files}\n{room.shell(asked, clone)}"


def ignoring(room: Room) -> None:
    """The agent's clone of a repository that ignores `.env`."""
    room.shell(
        "cd seed; echo .env > .gitignore; git add .; git commit -qm ignore; git push -q ../remote HEAD:main", room.folder
    )
    room.clone()


def printed(output: str) -> str:
    """Returns the command that an export prints after "in a clone:"."""
    (line,) = [line.partition("in a clone: ")[2] for line in output.splitlines() if "in a clone: " in line]
    return line


AGENTS = {
    "adds it by force": "echo agents > .env; git add -f .env",
    "commits it by force": "echo agents > .env; git add -f .env; git commit -qm env; echo more >> .env",
    "takes it from .gitignore": "echo agents > .env; : > .gitignore",
    "takes it from .gitignore and commits": "echo agents > .env; : > .gitignore; git add .; git commit -qm env",
    "pushes it": "echo agents > .env; git add -f .env; git commit -qm env; git push -q file://{remote} main;"
    "git update-ref refs/remotes/origin/main main; echo u > u",
    "makes a folder of it": "mkdir .env; echo agents > .env/x; git add -f .env",
}


@pytest.mark.parametrize("form", Form)
def test_no_hook_of_the_agent_runs_in_the_operators_clone(room: Room, form: Form, capfd: pytest.CaptureFixture[str]) -> None:
    """A relative core.hooksPath, as husky sets it, would refer to the agent's files in the new work tree."""
    room.clone()
    clone = operators(room)
    ran = room.folder / "ran"
    room.shell("git config core.hooksPath .husky", clone)
    room.shell(
        f"mkdir .husky; printf '#!/bin/sh\\ntouch {ran}\\n' > .husky/post-checkout; chmod +x .husky/post-checkout; cd .husky;"
        "for hook in post-index-change reference-transaction post-merge applypatch-msg; do cp post-checkout $hook; done;"
        "cd ..; git add .; git commit -qm hooks; git update-ref refs/remotes/origin/main main; echo u > u"
    )
    room.shell("git push -q ../../remote main")
    _, file = room.export(form=form)
    name = "work.patch" if form is Form.PATCH else "work.bundle"
    (clone / name).write_bytes(file.read_bytes())
    room.shell("git fetch -q", clone)
    room.shell(printed(capfd.readouterr().err), clone)
    assert (restored(room) / ".husky/post-checkout").exists()
    assert not ran.exists()


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("case", AGENTS)
def test_the_operators_ignored_files_are_not_overwritten(
    room: Room, case: str, form: Form, capfd: pytest.CaptureFixture[str]
) -> None:
    """The agent has a file of the same name, which must not silently replace the operator's."""
    ignoring(room)
    clone = operators(room)
    room.shell(AGENTS[case].format(remote=room.folder / "remote"))
    room.shell(f"{AHEAD}; git tag agents")
    code, file = room.export(form=form)
    assert code == WRITTEN
    name = "work.patch" if form is Form.PATCH else "work.bundle"
    (clone / name).write_bytes(file.read_bytes())
    before = state(room, clone)
    output = capfd.readouterr().err
    if case == "pushes it":
        assert form is Form.PATCH or "if that clone lacks commits, git fetch gets them" in output
        room.shell("git fetch -q", clone)
        before = state(room, clone)
    room.shell(printed(output), clone)
    assert state(room, clone) == before
    assert (clone / ".env").read_bytes() == OWN
    work = restored(room)
    inside = "find . -name .git -prune -o -type f -printf '%M %P\\n' | sort; cat more"
    assert room.shell(inside, work) == room.shell(inside)
    agents = (work / ".env/x" if "folder" in case else work / ".env").read_text()
    assert agents.startswith("agents")


def test_a_save_is_restored_without_overwriting_too(room: Room) -> None:
    """With the command from the commit's message, and with the documented one."""
    ignoring(room)
    clone = operators(room)
    room.shell("echo agents > .env; git add -f .env")
    process.save(room.repo, str(room.folder / "remote"), "wip/2026-01-31-1402-3f9a", "", room.home)
    before = state(room, clone)
    documents = (Path(__file__).parents[2] / "docs/configuration.md").read_text().splitlines()
    (begin,) = [number for number, line in enumerate(documents) if line.startswith("git fetch --no-tags origin +wip/")]
    room.shell("\n".join(documents[begin : begin + 3]), clone)
    assert state(room, clone) == before
    assert (restored(room) / ".env").read_text() == "agents\n"
    output = room.shell("git log -1 --format=%B refs/codetainer/wip", clone)
    (command,) = [line.strip() for line in output.splitlines() if " worktree add --detach " in line]
    room.shell("git worktree remove --force ../work", clone)
    room.shell(f"C=refs/codetainer/wip; {command}".replace(" C", ' "$C"').replace('"$C"^1', '"$C^1"'), clone)
    assert state(room, clone) == before
    assert (restored(room) / ".env").read_text() == "agents\n"


# --- shallow clones ---


def grown(room: Room) -> None:
    """A remote with a history."""
    for number in range(3):
        room.shell(f"echo {number} > grown; git add grown; git commit -qm {number}", room.folder / "seed")
    room.shell("git push -q ../remote HEAD:main", room.folder / "seed")


def test_the_export_of_a_shallow_clone_without_its_remote_names_missing_commits(
    room: Room, capfd: pytest.CaptureFixture[str]
) -> None:
    """`git bundle verify` would accept a bundle from `git bundle create`, but it could not be cloned."""
    grown(room)
    room.clone("--depth", "1")
    room.shell(f"git remote remove origin; {AHEAD}; echo u > u")
    code, file = room.export()
    output = capfd.readouterr().err
    assert code == INCOMPLETE
    parent = room.shell("git rev-parse HEAD^", room.folder / "seed").strip()
    assert "the bundle is incomplete" in output
    assert parent in output
    room.shell("git init -q --bare empty", room.folder)
    refused = room.shell(
        f"git -C empty bundle verify {file} 2>&1 || echo refused; git clone {file} cloned 2>&1 || echo too", room.folder
    )
    assert parent in refused
    assert "refused" in refused
    assert "too" in refused
    clone = operators(room)
    (clone / "work.bundle").write_bytes(file.read_bytes())
    assert "okay" in room.shell("git bundle verify work.bundle 2>&1", clone)
    room.shell(printed(output), clone)
    assert room.shell("cat more u", restored(room)) == "more\nu\n"


@pytest.mark.parametrize(
    "where",
    [
        "true",  # the remote is a folder that exists
        "mv ../../remote ../other.git; git remote set-url origin /nonexistent",
        "git remote remove origin; mv ../../remote ../other.git",
    ],
)
def test_a_shallow_clone_is_completed_from_repositories_nearby(
    room: Room, where: str, capfd: pytest.CaptureFixture[str]
) -> None:
    grown(room)
    room.shell(f"git clone -q --depth 1 file://{room.folder}/remote repo", room.workspace)
    room.shell(f"{where}; {AHEAD}; echo u > u")
    code, file = room.export()
    assert code == WRITTEN, capfd.readouterr().err
    room.shell("git init -q --bare empty", room.folder)
    assert "complete history" in room.shell(f"git bundle verify {file} 2>&1", room.folder / "empty")
    room.shell(f"git clone -q {file} cloned; git -C cloned fetch -q origin refs/wip", room.folder)
    cloned = room.folder / "cloned"
    assert (
        room.shell("git fsck --no-dangling 2>&1; git rev-list --count FETCH_HEAD^1; git show FETCH_HEAD:u", cloned) == "5\nu\n"
    )


def test_a_shallow_clone_without_unpushed_commits_needs_nothing(room: Room) -> None:
    grown(room)
    room.clone("--depth", "1")
    room.shell("echo u > u")
    assert room.export()[0] == WRITTEN


# --- names in commands that are pasted ---

NAMES = ["a; touch pwned; #", "$(touch pwned)", "it's", "-rf", "two\nlines; touch pwned", "\x1b]0;owned\x07", "é à", "\udcff"]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_folder_is_one_shell_word(room: Room, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    room.clone()
    folder = room.workspace / name
    folder.mkdir()
    room.shell("git init -q; echo a > a; git add a; git commit -qm a", folder)
    room.shell("echo u > u")
    assert room.export()[0] == WRITTEN
    output = capfd.readouterr().err
    assert all(line.isprintable() for line in output.splitlines())
    (line,) = [line.strip() for line in output.splitlines() if line.startswith("  codetainer export ")]
    place = room.folder / "shell"
    place.mkdir()
    room.shell(f"codetainer() {{ printf '%s' \"$2\" > argument; }}; {line}", place)
    argument = (place / "argument").read_bytes().decode(errors="surrogateescape")
    assert argument == (f"./{name}" if name.startswith("-") else name)
    assert sorted(path.name for path in place.iterdir()) == sorted(("argument", f"{name}.bundle"))
    assert room.export(argument)[0] == WRITTEN


def test_the_workspace_itself_can_be_a_repository(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.clone()
    room.shell("git init -q; echo repo > .gitignore; echo a > a", room.workspace)
    room.export()
    assert "codetainer export . > workspace.bundle" in capfd.readouterr().err
    assert room.export(".")[0] in (WRITTEN, PARTLY)
