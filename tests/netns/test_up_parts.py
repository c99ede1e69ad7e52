"""If one part of `up` ends, all parts end; and which of the operator's environment and files a sandbox gets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import backend
from backend.sandbox import registry
from backend.sandbox.registry import NoSandbox
from backend.selftest import probe
from backend.work import process
from codetainer_tui.metrics import tally
from tests.netns.sandbox import CODETAINER, PATIENCE, SHORT, Running, children, eventually, start

pytestmark = pytest.mark.netns


def namespace(pid: int, kind: str = "pid") -> int:
    return Path(f"/proc/{pid}/ns/{kind}").stat().st_ino


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A sandbox for tests that end it; the others share `sandbox`."""
    sandbox = start(tmp_path, f"parts-{os.getpid()}")
    yield sandbox
    if sandbox.process.poll() is None:
        sandbox.stop()


def waiters(running: Running) -> dict[str, int]:
    """Returns the pids of the processes that wait for the sandbox's and the pretend internet's first process."""
    pids = {}
    for pid in children(running.process.pid):
        for first in children(pid):
            pids["sandbox" if first == running.init else "internet"] = pid
    return pids


def ends_with(running: Running, code: int, *pids: int) -> None:
    assert running.process.wait(timeout=PATIENCE) == code
    eventually("every process has ended", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.parametrize("which", ["waiter", "first"])
def test_up_ends_with_the_sandbox(running: Running, which: str) -> None:
    pids = waiters(running)
    internet = children(pids["internet"])[0]
    os.kill(running.init if which == "first" else pids["sandbox"], signal.SIGKILL)
    ends_with(running, 128 + signal.SIGKILL, running.init, internet, *pids.values())
    with pytest.raises(NoSandbox):
        registry.find(running.name)


def test_each_part_has_namespaces_of_its_own(sandbox: Running) -> None:
    internet = children(waiters(sandbox)["internet"])[0]
    for kind in ("mnt", "net", "pid"):
        assert len({namespace(pid, kind) for pid in (sandbox.init, internet, os.getpid())}) == 3
    for kind in ("uts", "ipc"):
        assert namespace(sandbox.init, kind) != namespace(os.getpid(), kind)


def test_a_program_gets_no_descriptor_of_ours(tmp_path: Path) -> None:
    """Not even one that was open in the operator's shell, because it could refer to anything."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    descriptor = os.open(secret, os.O_RDONLY)
    try:
        done = subprocess.run(
            [*CODETAINER, "up", "--net", "none", "--domains", str(SHORT), "--name", f"fds-{os.getpid()}", "--root-command",
             "--", "sh", "-c",
             "for process in /proc/[0-9]*; do ls -l $process/fd; done; ls /proc/self/fd"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False, pass_fds=(descriptor,),
        )  # fmt: skip
    finally:
        os.close(descriptor)
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout
    assert done.stdout.split()[-4:] == ["0", "1", "2", "3"]  # the last one belongs to ls


def test_files_that_settings_name_are_read_outside(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("ghp_from-a-file\n")

    reading = ["--", "cat", "/opt/gh-config/git-credential"]

    def up(file: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CODETAINER, "up", "--net", "pretend", "--domains", str(SHORT), "--name", f"file-{os.getpid()}", *reading],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={**os.environ, "GH_PAT_FILE": str(file), "CODETAINER_CREDENTIALS": "inside"},
        )  # fmt: skip

    assert "password=ghp_from-a-file\n" in up(token).stdout
    wrong = up(tmp_path / "none")
    assert wrong.returncode == 2
    assert "GH_PAT_FILE: cannot read" in wrong.stderr


def test_nothing_else_of_the_operators_environment_goes_in(tmp_path: Path) -> None:
    done = subprocess.run(
        [*CODETAINER, "up", "--net", "pretend", "--domains", str(SHORT), "--name", f"env-{os.getpid()}", "--root-command",
         "--", "sh", "-c",
         "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, "AWS_SECRET_ACCESS_KEY": "planted", "TERM": "xterm-256color"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "planted" not in done.stdout
    assert "REPO_URL=https://github.com/example/demo" in done.stdout


def test_top_folders_of_this_machine_are_covered(tmp_path: Path, sandbox: Running) -> None:
    covered = {"bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr", "var", "dev", "proc", "run", "sys", "tmp"}
    ours = {"home", "opt", "root", "workspace"}
    tops = [entry.name for entry in Path("/").iterdir() if entry.is_dir() and entry.name not in covered | ours]
    done = sandbox.root("sh", "-c", 'for top; do ls -A "/$top"; done', "sh", *tops)
    assert done.stdout == ""
    assert set(sandbox.root("ls", "-A", "/root").stdout.split()) <= {".bashrc", ".profile"}  # created for the login
    assert str(tmp_path) not in sandbox.root("find", "/tmp", "-maxdepth", "3").stdout


def test_a_sandbox_keeps_the_code_that_it_was_started_with(sandbox: Running) -> None:
    """A running boot must not mix with a newer version: the first probe with another format would close everything."""
    for module in (probe, process, tally):
        ours = Path(str(module.__file__))
        inside = sandbox.paths.root / "opt/codetainer/lib" / ours.relative_to(Path(str(backend.__file__)).parents[1])
        assert inside.read_bytes() == ours.read_bytes()
        assert not inside.samefile(ours)


def test_check_lists_fulfilled_requirements() -> None:
    check = [*CODETAINER, "check", "--json", "--net", "pretend"]  # does not require Claude Code
    done = subprocess.run(check, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0
    assert {"root", "nft", "overlay", "nf_tables", "python"} <= {entry["name"] for entry in json.loads(done.stdout)}


def test_check_says_how_to_install_claude_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [*CODETAINER, "check"], capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, "PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "claude       not found on PATH; needed for the agent. " in done.stdout


def test_check_lists_missing_requirements(sandbox: Running) -> None:
    """Run by the agent, who is not root and may not become it: it names the purpose and the remedy, and does not crash."""
    done = sandbox.agent("codetainer", "check")
    assert done.returncode == 1
    assert "not root" not in done.stdout
    assert "a setuid program gets none here (no_new_privs); needed for a sandbox without root. Run it outside " in done.stdout


def test_up_ends_with_the_pretend_internet(sandbox: Running) -> None:
    """The last test, because it ends the shared sandbox."""
    pids = waiters(sandbox)
    os.kill(pids["internet"], signal.SIGKILL)
    ends_with(sandbox, 1, sandbox.init, *pids.values())
    assert "the pretend internet has ended" in sandbox.seen.with_name("err").read_text()
