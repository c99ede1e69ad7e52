"""A remote repository and its clone, without a sandbox, for tests of unsaved work."""

from __future__ import annotations

import subprocess
from pathlib import Path

from backend.contract.events import RepositoryWork
from backend.work import export as verb
from backend.work import git as git_module
from backend.work import process
from backend.work.export import PARTLY, WRITTEN, Form
from tests.netns.work import restore

AHEAD = "echo more > more; git add more; git commit -qm more"


class Room:
    """A remote, a clone of it as /workspace/repo, and a home; `shell` works in the clone."""

    def __init__(self, folder: Path, like: Path | None = None) -> None:
        """Makes a room in an empty folder: a copy of the room in the folder `like`, or one with a first commit and no clone."""
        self.folder = folder
        self.workspace, self.repo = folder / "workspace", folder / "workspace/repo"
        self.home = folder / "home"
        self.environment = {"HOME": str(self.home), "LANG": "C.UTF-8", "PATH": git_module.PATH, "GIT_OPTIONAL_LOCKS": "0"}
        if like:
            subprocess.run(["cp", "-a", "--reflink=auto", f"{like}/.", folder], check=True)
            return
        for made in (self.home, self.workspace):
            made.mkdir()
        self.shell(
            "git config --global user.name Example; git config --global user.email example@example.com;"
            "git config --global init.defaultBranch main; git config --global protocol.file.allow always;"
            "git init -q --bare remote; git init -q seed; cd seed;"
            "echo one > one; echo two > two; git add .; git commit -qm first; git push -q ../remote HEAD:main",
            folder,
        )

    def git(self, folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shell(self, script: str, folder: Path | None = None) -> str:
        done = subprocess.run(
            ["bash", "-ec", script], cwd=folder or self.repo, env=self.environment, capture_output=True, text=True,
            errors="surrogateescape", check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def clone(self, *options: str) -> None:
        """Clones the remote and then gives it a URL, because commits in a local folder do not count as pushed."""
        self.shell(f"git clone -q {' '.join(options)} file://{self.folder}/remote repo", self.workspace)
        self.shell("git config remote.origin.url https://github.com/example/demo")

    def counted(self) -> list[RepositoryWork]:
        result = process.count(self.workspace, self.home)
        return [RepositoryWork(**{**work, "notes": tuple(work["notes"])}) for work in result["repositories"]]

    def export(self, name: str | None = None, form: Form = Form.BUNDLE) -> tuple[int, Path]:
        file = self.folder / form
        with file.open("wb") as out:
            return verb.export(self.workspace, name, self.home, out.fileno(), form), file

    def restored(self, whole: bool = False) -> Path:
        """Makes a fresh clone and restores the export in it, as documented: HEAD's commit with the work on top."""
        code, file = self.export()
        assert code in (WRITTEN, PARTLY)
        again = self.folder / "again"
        self.shell("git init -q again" if whole else f"git clone -q file://{self.folder}/remote again", self.folder)
        self.shell(f"git fetch -q {file} '+refs/*:refs/codetainer/*'", again)
        return restore(again, "refs/codetainer/wip")

    def status(self, folder: Path) -> str:
        return self.shell("git -c core.quotePath=true status --porcelain --untracked-files=all", folder)
