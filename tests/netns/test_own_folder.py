"""`codetainer up --work DIR`: the sandbox gets a clone of the operator's repository, which stays as it is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from backend import processes, settings
from backend.sandbox import inputs, options, own_folder
from tests.netns.operators import contents
from tests.netns.sandbox import CODETAINER, IDLE, INTERNET, PATIENCE
from tests.netns.test_up import up
from tests.netns.traces import nothing_left

pytestmark = pytest.mark.netns

__all__ = ["nothing_left"]

ROOM = 512 << 20
NOBODY = 65534
SAFE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.test")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *IDENTITY, *arguments], cwd=folder, env=SAFE, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two branches at the same commit, of which the second is checked out; a tag, an ignored and an untracked file."""
    folder = tmp_path / "own"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "file").write_text("one\n")
    (folder / ".gitignore").write_text(".env\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=one")
    git(folder, "tag", "v1")
    git(folder, "checkout", "--quiet", "-b", "topic")
    (folder / ".env").write_text("secret\n")
    (folder / "untracked").write_text("x\n")
    return folder


def unchanged(folder: Path, before: dict[str, object]) -> None:
    """Compares a repository with its earlier contents, apart from new packs and the refs of what has come back."""
    new = (".git/objects/pack/pack-", ".git/refs/heads/codetainer/")
    assert {name: value for name, value in contents(folder).items() if not name.startswith(new)} == before


def came_back(folder: Path) -> dict[str, str]:
    """The branches that have come back, with the subject of their last commit."""
    lines = git(folder, "for-each-ref", "--format=%(refname:lstrip=4) %(subject)", "refs/heads/codetainer").splitlines()
    return dict(line.split(" ", 1) for line in lines)


# Ends when the last commit has come back, as far as the sandbox knows.
UNTIL_BACK = (
    "for n in $(seq 300); do [ $(git rev-parse operator/topic) = $(git rev-parse topic) ] && break; sleep 0.1; done; "
    "git rev-parse operator/topic topic | uniq | wc -l"
)


def test_the_sandbox_gets_a_clone_and_its_commits_come_back(repository: Path, tmp_path: Path, nothing_left: None) -> None:
    tripwire = tmp_path / "ran"
    program = repository / ".git/hooks/reference-transaction"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\ntouch {tripwire}\n")
    program.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(program))
    tripwire.unlink(missing_ok=True)
    before = contents(repository)
    script = (
        "pwd; git branch --show-current; git for-each-ref --format='%(refname)'; ls -A; "
        f"git commit -q --allow-empty -m two && git branch -f main && git log --format=%s && {UNTIL_BACK}; "
        "git commit -q --amend --allow-empty -m three"
    )
    done = up(tmp_path, "--work", str(repository / "."), "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "/workspace/repo", "topic", "refs/heads/topic", "refs/remotes/operator/HEAD", "refs/remotes/operator/main",
        "refs/remotes/operator/topic", "refs/tags/v1", ".git", ".gitignore", "file", "two", "one", "1",
    ]  # fmt: skip
    assert came_back(repository) == {"main": "two", "topic": "three", "topic-2": "two"}
    assert f"codetainer: commits came back to {repository}: codetainer/up-" in done.stderr
    unchanged(repository, before)
    assert not tripwire.exists()


def test_commits_come_back_when_a_signal_ends_the_sandbox(repository: Path, tmp_path: Path, nothing_left: None) -> None:
    (tmp_path / "internet.toml").write_text(INTERNET)
    (tmp_path / "domains.conf").write_text("github.com\n")
    last = "git commit -q --allow-empty -m last; exit 143"
    script = f"trap '{last}' TERM; git commit -q --allow-empty -m two && echo committed; while sleep 0.1; do :; done; {last}"
    process = subprocess.Popen(
        [*CODETAINER, "up", "--net", "pretend", "--pretend", str(tmp_path / "internet.toml"), "--domains",
         str(tmp_path / "domains.conf"), "--claude", str(IDLE), "--name", f"ended-{os.getpid()}", "--work", str(repository),
         "--", "sh", "-c", script],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "committed\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE * 2)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert came_back(repository) == {"topic": "last"}, errors


def test_it_does_not_go_with_repo_url(repository: Path, tmp_path: Path, nothing_left: None) -> None:
    done = up(tmp_path, "--work", str(repository), "--", "true", REPO_URL="https://github.com/owner/repo")
    assert done.returncode == 2
    assert "--work and REPO_URL exclude each other" in done.stderr


def test_without_a_url_it_is_the_repository_that_the_operator_is_in(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = {"GH_PAT": "ghp_x", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"}
    loaded = settings.load(tokens)
    (repository / "below").mkdir()
    monkeypatch.chdir(repository / "below")
    handed = inputs.require_work(options.parse([]), loaded)
    assert handed is not None
    assert handed.folder == repository
    assert f"cloning {repository}, because REPO_URL is not set" in capsys.readouterr().err
    handed.discard()
    with_url = settings.load({**tokens, "REPO_URL": "https://github.com/owner/repo"})
    assert inputs.require_work(options.parse([]), with_url) is None
    for argv in (["--no-work"], ["--net", "none"], ["--net", "pretend"], ["--resume", "x"]):
        assert inputs.require_work(options.parse(argv), loaded) is None
    _shallow(repository)
    assert inputs.require_work(options.parse([]), loaded) is None
    assert "starting without a repository" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert inputs.require_work(options.parse([]), loaded) is None


def _empty(folder: Path) -> None:
    git(folder, "update-ref", "-d", "HEAD")


def _shallow(folder: Path) -> None:
    (folder / ".git/shallow").write_text(git(folder, "rev-parse", "HEAD") + "\n")


def _partial(folder: Path) -> None:
    git(folder, "config", "remote.origin.promisor", "true")


@pytest.mark.parametrize(
    ("change", "reason"),
    [(_empty, "it has no commit yet"), (_shallow, "it is a shallow clone"), (_partial, "it is a partial clone")],
)
def test_a_repository_without_a_complete_history_is_refused(change: object, reason: str, repository: Path) -> None:
    assert callable(change)
    change(repository)
    with pytest.raises(settings.SettingsError, match=reason):
        own_folder.hand_over(repository, ROOM)


def test_without_root_the_repository_of_another_user_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a user namespace, 0 is the user, and no process can become another one."""
    monkeypatch.setattr(processes, "in_user_namespace", lambda: True)
    os.chown(repository, 1001, 1001)
    with pytest.raises(settings.SettingsError, match=r"it belongs to another user\n  Clone it, and name the clone"):
        own_folder.hand_over(repository, ROOM)


def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError, match=r"not a git repository[^\n]*\n  Name a repository, or run git init"):
        own_folder.hand_over(tmp_path, ROOM)


def test_a_repository_that_does_not_fit_is_refused_with_the_size_that_it_needs(repository: Path) -> None:
    with pytest.raises(settings.SettingsError, match="CODETAINER_TMPFS_WORKSPACE=512M or more"):
        own_folder.hand_over(repository, 100)


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "--detach")
    handed = own_folder.hand_over(repository, ROOM)
    assert handed.branch == ""
    handed.discard()
    assert not handed.bundle.parent.exists()


def test_root_reads_a_users_repository_as_that_user(repository: Path) -> None:
    """git refuses another user's repository ("dubious ownership"), and its configuration must not be obeyed as root."""
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to other users
        Path(place).chmod(0o711)
        own = Path(place) / "own"
        shutil.copytree(repository, own)
        for path in (own, *own.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        handed = own_folder.hand_over(own, ROOM)
        assert handed.bundle.stat().st_size > 0
        handed.discard()
