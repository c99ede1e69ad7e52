"""A sandbox's work goes to an archive, and continues in another sandbox: files, index, grants, budget, conversation.

Length: all tests share one pair of sandboxes, whose boots take most of the time.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from backend.contract.events import Allowed, Noted, WorkResumed, WorkSuspended
from backend.suspension import archive
from tests.netns.sandbox import CODETAINER, Running, eventually, start
from tests.netns.suspensions import FILES, REPOSITORY, described, member, rewritten
from tests.netns.test_claude import claude
from tests.unit.backend.suspension.test_members import Made

pytestmark = pytest.mark.netns

FOLDERS = ("/workspace", "/home/claude", "/tmp")
OF_BOOT = ("/home/claude/.codetainer", "/home/claude/.claude", "/home/claude/.claude.json", "/home/claude/.npmrc")
LARGE = 5_000_000  # bytes of Claude Code's state, more than boot reads
GIT = """
cd /workspace/repo
git checkout -q -b mine
echo committed > one; git add one; git commit -q -m one
echo staged > two; git add two
echo changed >> README.md
echo untracked > three
git stash list; touch .git/index.lock
"""
STATUS = (
    "cd /workspace/repo; git status --porcelain=2 --branch; git rev-parse HEAD; git ls-files -s; git diff; git diff --cached"
)


@dataclass(frozen=True)
class Two:
    """A sandbox that was suspended to a file, and one that resumed it."""

    file: Path
    before: dict[str, Any]
    status: str
    printed: str
    after: Running


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("suspended")
    file = folder / "work.tar"
    first = start(folder, f"suspended-{os.getpid()}", REPO_URL=REPOSITORY)
    try:
        assert first.agent("sh", "-ec", GIT).returncode == 0
        first.python(FILES)
        first.agent("sh", "-c", f"head -c {LARGE} /dev/zero | tr '\\0' x > ~/.claude.json")
        first.agent("sh", "-c", "mkdir -p ~/.npmrc.d; rm ~/.npmrc; ln -s /etc/passwd ~/.npmrc")
        assert first.codetainer("allow", "rotating.test", "--port", "8443", "--for", "1h").returncode == 0
        assert first.codetainer("allow", "unlisted.test", "--for", "1h").returncode == 0
        assert first.codetainer("allow", "*.below.test", "--read").returncode == 0
        assert first.codetainer("mute", "a.example").returncode == 0
        before, status = described(first, *FOLDERS), first.agent("sh", "-c", STATUS).stdout
        done = subprocess.run([*CODETAINER, "suspend", "--name", first.name, str(file)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert first.agent("true").returncode == 0  # it goes on
    finally:
        first.stop()
    with archive.opened(file) as opened:
        grants = opened.state.grants
    over = tuple(replace(grant, until=time.time() - 60) if grant.name == "rotating.test" else grant for grant in grants)
    file = rewritten(file, folder / "later.tar", state={"grants": over})
    file.chmod(0o600)
    again = tmp_path_factory.mktemp("resumed")
    after = start(again, f"resumed-{os.getpid()}", "--resume", str(file), REPO_URL=REPOSITORY)
    yield Two(file, before, status, done.stderr, after)
    after.stop()


def test_every_file_is_the_same(two: Two) -> None:
    left = {"/tmp/socket", "/workspace/secret", "/workspace/repo/.git/index.lock"}
    expected = {name: about for name, about in two.before.items() if name not in left and not name.startswith(OF_BOOT)}
    kind, _, *rest = expected["/workspace/set-uid"]
    expected["/workspace/set-uid"] = [kind, 0o755, *rest]
    found = {name: about for name, about in described(two.after, *FOLDERS).items() if name in expected}
    changed = {"/workspace/repo/.git", "/home/claude/.local", "/home/claude/.local/bin", "/home/claude/.local/bin/claude"}
    for name in changed | {"/workspace/repo/.git/index"}:  # git refreshes its index; boot makes its links again
        found.pop(name, None), expected.pop(name, None)
    assert found == expected


def test_what_stays_behind_is_named(two: Two) -> None:
    assert "/tmp/socket: a socket" in two.printed
    assert "/workspace/secret: the agent cannot read it" in two.printed
    resumed = two.after.events(WorkResumed)
    assert [len(one.left_out) for one in resumed] == [2]


def test_the_repository_is_as_it_was_and_nothing_was_cloned(two: Two) -> None:
    assert two.after.agent("sh", "-c", STATUS).stdout == two.status
    assert two.after.asked(kind="http", path="/example/demo/info/refs") == 0
    assert two.after.state.cloned


def test_grants_are_open_again_until_the_same_time_and_expired_ones_are_named(two: Two) -> None:
    eventually("all grants are open", lambda: len(two.after.events(Allowed)) == 2)
    by_name = {one.name: one for one in two.after.events(Allowed)}
    kept = {one["name"]: one for one in member(two.file.read_bytes(), "state.json")["grants"]}
    assert by_name["unlisted.test"].until == pytest.approx(kept["unlisted.test"]["until"], abs=1)
    assert by_name["unlisted.test"].by == "root, before the sandbox was suspended"
    assert (by_name["*.below.test"].grant, by_name["*.below.test"].until) == ("read", 0)
    notes = [note.text for note in two.after.events(Noted) if "not open any more" in note.text]
    assert len(notes) == 1
    assert notes[0].startswith("rotating.test is not open any more: its time ended at ")
    assert "a.example" in two.after.state.muted


def test_boots_own_files_take_the_place_of_restored_ones(two: Two) -> None:
    assert two.after.agent("cat", "/home/claude/.npmrc").stdout.startswith("//npm.pkg.github.com/:_authToken")
    assert two.after.agent("readlink", "/home/claude/.npmrc.before-resume").stdout == "/etc/passwd\n"


def test_a_state_of_claude_code_that_is_too_large_is_kept_beside_the_new_one(two: Two) -> None:
    assert two.after.agent("stat", "-c", "%s %U", "/home/claude/.claude.json.before-resume").stdout == f"{LARGE} claude\n"
    assert "hasCompletedOnboarding" in two.after.agent("cat", "/home/claude/.claude.json").stdout
    assert [note.text for note in two.after.events(Noted) if "kept as ~/.claude.json.before-resume" in note.text]


def test_the_old_journal_can_be_read(two: Two) -> None:
    assert "allowed unlisted.test" in two.after.codetainer("logs", "--before").stdout


def test_the_file_is_root_s_and_a_tar_file(two: Two) -> None:
    assert stat.S_IMODE(two.file.stat().st_mode) == 0o600
    with tarfile.open(two.file) as opened:
        names = opened.getnames()
    assert names[:3] == ["state.json", "journal.jsonl.gz", "work.tar.zst.000001"]
    assert names[-2:] == ["manifest.json", "sha256"]
    assert list(two.file.parent.glob(".*.part")) == []


@pytest.mark.parametrize("how", ["flipped", "cut", "without its end", "not one"])
def test_a_damaged_archive_is_refused_before_anything_is_made(two: Two, how: str, tmp_path: Path) -> None:
    whole = bytearray(two.file.read_bytes())
    if how == "flipped":
        whole[len(whole) // 2] ^= 1
    elif how == "cut":
        del whole[len(whole) // 3 :]
    elif how == "without its end":
        del whole[-2048:]
    else:
        whole = bytearray(b"\x1f\x8b" * 4000)
    (tmp_path / "bad.tar").write_bytes(whole)
    done = up(tmp_path / "bad.tar", REPOSITORY)
    assert done.returncode == 2, done.stderr
    assert f"cannot resume {tmp_path}/bad.tar: " in done.stderr
    assert bytes(whole) == (tmp_path / "bad.tar").read_bytes()


def test_an_archive_of_another_repository_is_refused(two: Two) -> None:
    done = up(two.file, "https://github.com/example/other")
    assert done.returncode == 2
    assert f"it is of {REPOSITORY}, and REPO_URL is https://github.com/example/other" in done.stderr


def test_an_archive_that_does_not_fit_is_refused(two: Two) -> None:
    done = up(two.file, REPOSITORY, CODETAINER_TMPFS_WORKSPACE="64K")
    assert done.returncode == 2
    assert "Set CODETAINER_TMPFS_WORKSPACE=" in done.stderr


def up(file: Path, repository: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "REPO_URL": repository, **variables}
    argv = [*CODETAINER, "up", "--net", "pretend", "--name", f"none-{os.getpid()}", "--no-tui", "--resume", str(file)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)


def test_it_is_written_to_a_pipe_and_inside_only_where_the_agent_cannot_write(two: Two) -> None:
    piped = subprocess.run([*CODETAINER, "suspend", "--name", two.after.name], capture_output=True)
    assert piped.returncode == 0, piped.stderr
    assert member(piped.stdout, "manifest.json")["entries"] > 50
    refused = two.after.codetainer("suspend", "/tmp/mine.tar")
    assert refused.returncode == 1
    assert "cannot suspend to /tmp/mine.tar: /tmp can be written by every user, so by the agent" in refused.stderr
    assert two.after.agent("ls", "/tmp").stdout.split() == ["in-tmp"]


def test_a_frozen_sandbox_can_be_suspended(two: Two, tmp_path: Path) -> None:
    two.after.codetainer("freeze")
    done = subprocess.run([*CODETAINER, "suspend", "--name", two.after.name, str(tmp_path / "f.tar")], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert two.after.state.frozen
    two.after.codetainer("thaw")


def test_a_failed_suspend_leaves_the_file_and_the_agent_as_they_were(two: Two, tmp_path: Path) -> None:
    (tmp_path / "keep.tar").write_bytes(b"whole")
    (tmp_path / ".keep.tar.part").mkdir()
    done = subprocess.run([*CODETAINER, "suspend", "--name", two.after.name, str(tmp_path / "keep.tar")], capture_output=True)
    assert done.returncode == 1
    assert (tmp_path / "keep.tar").read_bytes() == b"whole"
    assert two.after.agent("true").returncode == 0


# --- a folder ---


def test_a_folder_keeps_the_work_through_kills_and_damage(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o700)

    def boot(number: int) -> Running:
        folder = tmp_path / str(number)
        folder.mkdir()
        return start(
            folder, f"kept-{os.getpid()}-{number}", REPO_URL=REPOSITORY, CODETAINER_STATE=str(volume),
            CODETAINER_STATE_INTERVAL="1s",
        )  # fmt: skip

    first = boot(1)
    first.agent("sh", "-c", "echo kept > /workspace/kept")
    since = len(first.events(WorkSuspended))
    eventually("it is in an archive", lambda: len(first.events(WorkSuspended)) >= since + 2)
    first.process.kill()  # not a chance for a last archive
    first.process.wait()
    eventually("nothing is left of it", lambda: not Path(f"/proc/{first.init}").exists())
    second = boot(2)
    assert second.agent("cat", "/workspace/kept").stdout == "kept\n"
    second.agent("sh", "-c", "echo last > /workspace/last")
    assert second.stop() == 128 + signal.SIGTERM  # with a last archive
    newest, older = sorted(volume.glob("work-*.tar"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-700])
    (volume / f".{newest.name}.part").write_text("left by a killed process")
    third = boot(3)
    try:
        assert third.agent("cat", "/workspace/kept").stdout == "kept\n"
        warned = third.state.steps["suspended"]
        assert "resuming from an older archive: " in warned.detail
        assert newest.with_name(f"{newest.name}.broken").exists()
        assert older.exists()
        assert not (volume / f".{newest.name}.part").exists()
    finally:
        third.stop()


def test_a_folder_of_the_agents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    os.chown(tmp_path / "mine", 1000, 1000)
    environment = {**os.environ, "CODETAINER_STATE": str(tmp_path / "mine")}
    argv = [*CODETAINER, "up", "--net", "pretend", "--name", f"refused-{os.getpid()}", "--no-tui"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 2
    assert "belongs to the agent" in done.stderr


# --- the conversation, with real Claude Code ---


def test_claude_continues_its_conversation(tmp_path: Path) -> None:
    """The API gets the earlier turns again, from another sandbox."""
    file, question = tmp_path / "work.tar", "remember the number 4711"
    (tmp_path / "1").mkdir()
    first = start(tmp_path / "1", f"talks-{os.getpid()}", "--claude", claude(), CLAUDE_PROMPT=question)
    try:
        eventually("its turn is over", lambda: first.state.session is not None and first.state.session.state == "waits")
        exported = first.codetainer("export", "--conversation")
        done = subprocess.run([*CODETAINER, "suspend", "--name", first.name, str(file)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    finally:
        first.stop()
    assert any(question in json.dumps(json.loads(line)) for line in exported.stdout.splitlines())
    state = member(file.read_bytes(), "state.json")
    assert state["working"] is False
    (tmp_path / "2").mkdir()
    second = start(tmp_path / "2", f"talks-{os.getpid()}", "--claude", claude(), "--resume", str(file), CLAUDE_PROMPT=question)
    try:
        eventually("the conversation is on the screen", lambda: question in second.screen())
        second.pane.send_keys("and now go on", enter=True)
        eventually("the earlier turn goes to the API again", lambda: asked_again(second, question))
    finally:
        second.stop()


def asked_again(sandbox: Running, question: str) -> bool:
    lines = [json.loads(line) for line in sandbox.seen.read_text().splitlines()] if sandbox.seen.exists() else []
    return any(
        "and now go on" in (line.get("asked") or "") and any(question in text for text in line["earlier"]) for line in lines
    )


# --- a hostile archive ---


def test_an_archive_with_what_suspending_never_writes_halts_boot(two: Two, tmp_path: Path) -> None:
    """Its checksum is right. What came before the hostile member stays in the agent's folders; nothing else is touched."""
    made = Made().add("workspace/before", data=b"x").add("workspace/out", tarfile.SYMTYPE, target="/run/codetainer")
    made.add("workspace/out/planted", data=b"evil")
    whole = made.whole() + bytes(10240)
    file = rewritten(two.file, tmp_path / "evil.tar", work=whole, manifest={"size": len(whole), "entries": 3})
    before = file.read_bytes()
    sandbox = start(tmp_path, f"hostile-{os.getpid()}", "--resume", str(file), REPO_URL=REPOSITORY)
    try:
        assert (sandbox.state.boot, sandbox.state.halted_step) == ("halted", "restore")
        assert sandbox.state.reason == "cannot resume the archive: /workspace/out/planted is not in a folder of the archive"
        assert not (sandbox.paths.run / "planted").exists()
        assert not sandbox.state.session_created
    finally:
        sandbox.stop()
    assert file.read_bytes() == before


def test_an_archive_that_expands_beyond_what_it_declares_halts_boot(two: Two, tmp_path: Path) -> None:
    whole = Made().add("workspace/zeros", data=bytes(64 << 20)).whole()
    file = rewritten(two.file, tmp_path / "bomb.tar", work=whole, manifest={"size": 1 << 20, "entries": 3})
    sandbox = start(tmp_path, f"bomb-{os.getpid()}", "--resume", str(file), REPO_URL=REPOSITORY)
    try:
        assert sandbox.state.reason == "cannot resume the archive: it is longer than it declares"
        assert sandbox.state.remedy == "The archive is unchanged. Resume another one, or start without it."
    finally:
        sandbox.stop()
