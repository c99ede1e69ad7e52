"""Saves while a sandbox runs: they change nothing of the agent, happen only if work changed, and report failures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.events import WorkSaved
from tests.netns.sandbox import Running, eventually, start
from tests.netns.work import REPOSITORY, WORK, export, git, host, shell

pytestmark = pytest.mark.netns

ALL_OF_IT = "{ find . -type f -exec sha256sum {} + | sort -k 2; find . -printf '%M %s %T@ %p\\n' | sort; } | cat -v"


@pytest.fixture(scope="module")
def saving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox that saves often and has little space for copies."""
    running = start(
        tmp_path_factory.mktemp("saving"), f"saving-{os.getpid()}", REPO_URL=REPOSITORY, CODETAINER_AUTOSAVE="1s",
        CODETAINER_TMPFS_HOME="32M", CODETAINER_TMPFS_TMP="32M",
    )  # fmt: skip
    yield running
    if running.process.poll() is None:
        running.stop()


def saves(sandbox: Running) -> list[WorkSaved]:
    return [event for event in sandbox.events(WorkSaved) if not event.problem]


def problems(sandbox: Running) -> list[str]:
    return [event.problem for event in sandbox.events(WorkSaved) if event.problem]


def test_a_save_changes_none_of_the_agents_files(saving: Running) -> None:
    assert saves(saving) == []  # there was no work
    shell(saving, WORK, "/")
    before = shell(saving, ALL_OF_IT)
    eventually("it is saved", lambda: saves(saving))
    assert shell(saving, ALL_OF_IT) == before
    assert saving.root("sh", "-c", "ls -d /home/claude/codetainer-work-* /tmp/codetainer-work-*").stdout == ""
    status = saving.codetainer("status").stdout
    assert f"to {saves(saving)[-1].branch}" in status


def test_a_save_is_made_only_if_work_has_changed(saving: Running) -> None:
    eventually("it is saved", lambda: saves(saving))
    shell(saving, "echo more > more.txt")
    eventually("it is saved again", lambda: saving.state.saved and holds(saving, "more.txt"))
    branches = {event.branch for event in saves(saving)}
    commits = [event.commit for event in saves(saving)]
    assert len(branches) == 1
    assert len(commits) == len(set(commits)) <= 3  # the first may have come in the middle of the previous test


def holds(sandbox: Running, name: str) -> bool:
    """True if the last save on the git host has this file."""
    with host(sandbox) as opened:
        where = f"--git-dir=/proc/self/fd/{opened}/example/demo"
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", where, "ls-tree", "--name-only", saves(sandbox)[-1].branch],
            capture_output=True, text=True, errors="replace", pass_fds=(opened,), check=False,
        )  # fmt: skip
    return name in done.stdout.splitlines()


def test_a_failure_is_reported_once_and_so_is_the_recovery(saving: Running) -> None:
    with host(saving) as opened:
        hook = Path(f"/proc/self/fd/{opened}/example/demo/hooks/pre-receive")
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        shell(saving, "echo refused > refused.txt")
        eventually("it is reported", lambda: problems(saving))
        tried = saving.asked(kind="http", path="/example/demo/git-receive-pack")
        eventually("it is tried again", lambda: saving.asked(kind="http", path="/example/demo/git-receive-pack") > tried + 1)
        assert len(problems(saving)) == 1
        assert "not saved" in saving.codetainer("status").stdout
        hook.unlink()
    eventually("it is saved", lambda: not saving.state.save_problem)
    assert "not saved" not in saving.codetainer("status").stdout


def test_a_file_that_does_not_fit_is_left_out_and_named(saving: Running, tmp_path: Path) -> None:
    shell(saving, "truncate -s 200M big.bin")
    try:
        eventually("it is reported", lambda: "big.bin" in saves(saving)[-1].left_out)
        exported = export(saving, tmp_path / "work.bundle")
        assert exported.returncode == 4
        assert "left out because space ran short: big.bin" in exported.stderr
        assert (tmp_path / "work.bundle").stat().st_size > 0
    finally:
        shell(saving, "rm big.bin")


def test_other_places_are_used_if_the_usual_ones_are_full(saving: Running, tmp_path: Path) -> None:
    fill = "head -c 30M /dev/zero > ~/fill; head -c 30M /dev/zero > /tmp/fill"
    shell(saving, fill)
    try:
        exported = export(saving, tmp_path / "work.bundle")
        assert exported.returncode == 0, exported.stderr
    finally:
        shell(saving, "rm ~/fill /tmp/fill")


CONFIGURED = """
printf 'machine github.com\\nlogin x\\npassword y\\n' > ~/.netrc; chmod 600 ~/.netrc
git config --global http.proxy http://192.0.2.1:1; git config http.extraHeader 'Authorization: Basic eA=='
git config --global credential.helper '!touch /workspace/RAN; cat'; git config core.askPass /workspace/evil
git config url.file:///workspace/elsewhere.insteadOf https://github.com/; git config --global include.path ~/more
printf '[http]\\n\tproxy = http://192.0.2.1:1\\n' > ~/more
echo '*.u16 working-tree-encoding=UTF-16' > .gitattributes; echo u > no-mark.u16; git config core.bare true
"""


def test_the_agents_configuration_of_git_and_curl_does_not_affect_a_save(saving: Running, tmp_path: Path) -> None:
    """The gate would refuse credentials from ~/.netrc; an attribute could make every save fail, and core.bare hide work."""
    before = problems(saving)
    shell(saving, "cp .git/config ../config")
    shell(saving, CONFIGURED)
    try:
        eventually("it is saved", lambda: saves(saving) and holds(saving, "no-mark.u16"))
        exported = export(saving, tmp_path / "work.bundle")
        assert exported.returncode == 0, exported.stderr
        assert re.search(r"^Unsaved work [1-9]", saving.codetainer("status").stdout, re.MULTILINE)
        assert problems(saving) == before
        assert saving.root("ls", "/workspace").stdout.split() == ["config", "repo"]
    finally:
        shell(saving, "mv ../config .git/config; rm -f ~/.netrc ~/.gitconfig ~/more .gitattributes no-mark.u16")


def test_a_file_that_the_agent_cannot_read_is_named(saving: Running, tmp_path: Path) -> None:
    shell(saving, "echo s > secret; chmod 0 secret")
    try:
        exported = export(saving, tmp_path / "work.bundle", root=False)
        assert exported.returncode == 4
        assert "secret: cannot be read: Permission denied" in exported.stderr
        git(tmp_path, "bundle", "list-heads", str(tmp_path / "work.bundle"))
    finally:
        shell(saving, "rm -f secret")


def test_a_bundle_is_not_for_a_terminal(saving: Running) -> None:
    for run in (saving.root, saving.agent):
        done = run("script", "-qec", "codetainer export", "/dev/null")
        assert done.returncode == 2
        assert "codetainer export > work.bundle" in done.stdout


TERMINALS = """
import json, os, pathlib, subprocess, sys, time
exporting = subprocess.Popen(["script", "-qec", "codetainer export > /dev/null", "/dev/null"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
terminals = {}
while not terminals:
    assert exporting.poll() is None
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if b"export" in (process / "cmdline").read_bytes().split(bytes(1)):
                terminal = (process / "stat").read_text().rpartition(")")[2].split()[4]
                terminals.setdefault(process.stat().st_uid, []).append(terminal)
        except OSError:
            pass
    if 1000 not in terminals:
        terminals = {}
    time.sleep(0.01)
exporting.kill()
print(json.dumps(terminals))
"""


def test_an_export_gives_the_agent_no_terminal(saving: Running) -> None:
    """A process that has root's terminal, even through /dev/tty, could later read what is typed there."""
    shell(saving, "mv .gitignore ../gitignore; mkfifo .gitignore")
    try:
        terminals = saving.python(TERMINALS, root=True)
    finally:
        shell(saving, "exec 3<>.gitignore; mv ../gitignore .gitignore")  # unblocks a process that waits for the pipe
    assert set(terminals["1000"]) == {"0"}
    assert "0" not in terminals["0"], "root's own process has one"


def test_the_export_ends_if_its_reader_stops(saving: Running) -> None:
    shell(saving, "head -c 4000000 /dev/urandom > noise.bin")
    try:
        done = saving.root("bash", "-c", "codetainer export | head -c 1000 | wc -c; echo ${PIPESTATUS[0]}")
        assert done.stdout.split() == ["1000", "1"]
        full = saving.root("bash", "-c", "codetainer export > /dev/full")
        assert full.returncode == 1
        assert "No space left on device" in full.stderr
        assert saving.root("sh", "-c", "codetainer export | sha256sum | wc -l").stdout == "1\n"
    finally:
        shell(saving, "rm noise.bin")


def test_unsaved_work_is_reported_at_the_end_of_the_session(saving: Running) -> None:
    """Even while a save takes its maximum time."""
    with host(saving) as opened:
        hook = Path(f"/proc/self/fd/{opened}/example/demo/hooks/pre-receive")
        waits = hook.with_name("waits")
        hook.write_text("#!/bin/sh\ntouch hooks/waits\nwhile [ -e hooks/waits ]; do sleep 0.1; done\n")
        hook.chmod(0o755)
        try:
            shell(saving, "echo held > held.txt")
            eventually("a save waits", waits.exists)
            saving.tmux.kill()
            eventually("it is reported", lambda: "codetainer export > work.bundle" in saving.codetainer("logs").stdout)
            assert waits.exists()
        finally:
            hook.unlink()
            waits.unlink(missing_ok=True)
    assert "Work that exists only in this sandbox" in saving.codetainer("status").stdout
    eventually("it is saved", lambda: holds(saving, "held.txt"))


def test_a_frozen_sandbox_saves_nothing_at_its_end(saving: Running) -> None:
    assert saving.codetainer("freeze").returncode == 0
    branch = saves(saving)[-1].branch
    out = saving.seen.with_name("out")
    assert saving.stop() == 128 + signal.SIGTERM
    output = out.read_text()
    assert f"cannot save /workspace/repo to {branch}: the sandbox is frozen, no data may leave it" in output
