"""`codetainer up` of an ordinary user: the same sandbox in a user namespace, and what only its operator can do with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from backend.contract.events import BootFinished, BootState, Froze, Outcome, ProofFinished, StepFinished
from backend.contract.paths import AGENT_UID
from backend.sandbox import user_namespace
from backend.sandbox.namespaces import Mount, mount
from tests.netns import rootless
from tests.netns.rootless import SUBORDINATE, UID, User
from tests.netns.sandbox import CODETAINER, IDLE, INTERNET, PATIENCE, Begin, Running, eventually
from tests.netns.traces import descendants, nothing_left

pytestmark = pytest.mark.netns

__all__ = ["nothing_left"]


@pytest.fixture(scope="session")
def begin(user: User) -> Begin:
    """All sandboxes of this module are the user's."""
    return user.start


def status(pid: int, field: str) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{field}:"))


def test_every_step_of_boot_succeeds(sandbox: Running) -> None:
    """Except for names that lie about their addresses: the internet of these tests has some."""
    assert sandbox.events(BootFinished)[0].state is not BootState.HALTED
    finished = {event.step: event.outcome for event in sandbox.events(StepFinished)}
    assert {step for step, outcome in finished.items() if outcome not in (Outcome.DONE, Outcome.SKIPPED)} == {"addresses"}
    assert {"closed", "rules", "guard", "names", "gate", "readonly", "clone", "readiness", "session"} <= finished.keys()


def test_every_protection_holds_and_the_differences_are_listed(sandbox: Running) -> None:
    proof = eventually("the self-test has run", lambda: sandbox.events(ProofFinished))[0]
    assert proof.broken == ()
    shown = sandbox.codetainer("status", "--walls").stdout
    assert "FAILED" not in shown
    assert "  started without root:\n" in shown


def test_only_the_ids_of_the_sandbox_are_mapped(sandbox: Running) -> None:
    """Nothing in the sandbox can have another id, and none of them is a user's of this machine but the operator's own."""
    first, count = SUBORDINATE
    for kind, ids in (("uid", user_namespace.wanted().uids), ("gid", user_namespace.wanted().gids)):
        lines = [tuple(map(int, line.split())) for line in Path(f"/proc/{sandbox.init}/{kind}_map").read_text().splitlines()]
        assert (0, UID, 1) in lines
        assert {inside for inside, _, _ in lines} == {0, *ids}
        assert all(number == 1 for _, _, number in lines)
        others = [outside for inside, outside, _ in lines if inside]
        assert sorted(others) == list(range(first + count - len(ids), first + count))


def test_the_sandbox_has_no_group_of_the_operator(sandbox: Running) -> None:
    for pid in (sandbox.init, sandbox.process.pid):
        assert status(pid, "Groups") == []
        assert status(pid, "Uid") == [str(UID)] * 4


def test_the_agent_is_nobody_on_the_machine(sandbox: Running) -> None:
    shown = sandbox.python("import json, os; print(json.dumps([os.getuid(), os.stat('/etc/hostname').st_uid]))")
    assert shown == [AGENT_UID, 0]
    agents = [p.uids().real for p in sandbox.processes() if p.uids().real not in (0, UID)]
    first, count = SUBORDINATE
    assert agents
    assert all(first <= uid < first + count for uid in agents)


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t devtmpfs none /mnt2 2>&1 || mkdir -p /tmp/d && mount -t devtmpfs none /tmp/d",
        "mknod /tmp/disk b 8 0",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo 1 > /proc/sys/vm/drop_caches",
        "dmesg",
        "touch /usr/bin/new",
        "mount -o remount,rw /usr && touch /usr/bin/new",
        "mount -o remount,rw /etc && touch /etc/new",
        "umount /etc",
    ],
)
def test_root_inside_is_not_the_machines(sandbox: Running, attempt: str) -> None:
    assert sandbox.root("sh", "-c", attempt).returncode != 0
    assert sandbox.root("true").returncode == 0


def test_files_that_the_operator_may_not_read_stay_closed(sandbox: Running) -> None:
    """/etc/shadow is ours; the machine's other files of root with mode 0600 are visible, but cannot be read."""
    assert "claude" in sandbox.root("cat", "/etc/shadow").stdout
    closed = next(
        (path for path in sorted(Path("/etc").glob("*")) if path.is_file() and not path.is_symlink()
         and path.stat().st_uid == 0 and not path.stat().st_mode & 0o044 and path.name not in ("shadow", "gshadow")), None
    )  # fmt: skip
    for path in filter(None, (closed, Path("/etc/gshadow"))):
        if not path.stat().st_mode & 0o004:
            assert sandbox.root("cat", str(path)).returncode != 0


def test_sockets_of_the_machine_are_out_of_reach(sandbox: Running) -> None:
    """Nothing but regular files may be bound into the root: a connection through a bind would reach the machine."""
    found = sandbox.root("find", "/etc", "/usr", "/var", "-xdev", "-type", "s").stdout.split()
    for line in Path(f"/proc/{sandbox.init}/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if point.startswith(("/etc", "/usr", "/var")):
            place = sandbox.paths.root / point.lstrip("/")
            assert place.is_dir() or place.is_file() or place.is_char_device(), point
    assert all(not Path(name).is_socket() or (sandbox.paths.root / name.lstrip("/")).stat() for name in found)


def test_the_operator_enters_as_agent_and_as_root(sandbox: Running, user: User) -> None:
    for options, uid in (((), AGENT_UID), (("--root",), 0)):
        command = [*CODETAINER, "enter", "--name", sandbox.name, *options, "--", "sh", "-c", "cat; id -u; exit 3"]
        done = subprocess.run(
            user.called(*command), input="piped\n", capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert (done.stdout, done.returncode) == (f"piped\n{uid}\n", 3), done.stderr


def test_nobody_else_enters_not_even_root(sandbox: Running) -> None:
    command = [*CODETAINER, "enter", "--name", sandbox.name, "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert f"it belongs to user {UID}" in done.stderr


def test_a_killed_enter_takes_its_command_with_it(sandbox: Running, user: User) -> None:
    command = [*CODETAINER, "enter", "--name", sandbox.name, "--", "sleep", "54321"]
    entering = subprocess.Popen(user.called(*command), stdin=subprocess.DEVNULL)
    sleeping = ["pgrep", "-f", "^sleep 54321$"]
    eventually("it runs", lambda: sandbox.root(*sleeping).returncode == 0)
    entering.kill()
    entering.wait(timeout=PATIENCE)
    eventually("it has ended", lambda: sandbox.root(*sleeping).returncode == 1)


def test_unsaved_work_is_exported(sandbox: Running, user: User, tmp_path: Path) -> None:
    script = "cd /workspace/repo && echo new > file && git add file && git -c user.name=a -c user.email=a@b.test commit -qm new"
    assert sandbox.agent("sh", "-c", script).returncode == 0
    command = [*CODETAINER, "enter", "--name", sandbox.name, "--root", "--", "codetainer", "export"]
    with (tmp_path / "work.bundle").open("wb") as out:
        done = subprocess.run(user.called(*command), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work.bundle").read_bytes().startswith(b"# v2 git bundle")


def test_work_is_suspended_to_a_file_of_the_operators(sandbox: Running, user: User, tmp_path: Path) -> None:
    rootless.give(tmp_path)
    file = tmp_path / "work.archive"
    done = user.run(*CODETAINER, "suspend", "--name", sandbox.name, str(file))
    assert done.returncode == 0, done.stderr
    assert file.stat().st_uid == UID


def test_freezing_stops_the_agent(sandbox: Running) -> None:
    started = subprocess.Popen(
        sandbox.called_as_agent("sleep", "600")[0], env=sandbox.called_as_agent()[1], stdin=subprocess.DEVNULL
    )
    try:
        sleeping = eventually(
            "it runs", lambda: [p for p in sandbox.processes() if p.name() == "sleep" and p.uids().real != UID]
        )
        assert sandbox.codetainer("freeze").returncode == 0
        assert sandbox.events(Froze)
        eventually("it stands", lambda: "T" in status(sleeping[0].pid, "State")[0] or sleeping[0].status() != "sleeping")
        assert sandbox.codetainer("thaw").returncode == 0
        eventually("it goes on", lambda: "S" in status(sleeping[0].pid, "State")[0])
    finally:
        started.kill()
        started.wait(timeout=PATIENCE)


def test_kill_9_leaves_nothing(user: User, tmp_path: Path, nothing_left: None) -> None:
    running = user.start(tmp_path, f"rootless-kill-{os.getpid()}")
    running.process.kill()
    running.process.communicate(timeout=PATIENCE)
    eventually("its first process has gone", lambda: running.init not in descendants())


def test_a_commands_exit_code_and_output_are_passed_on(user: User, tmp_path: Path, nothing_left: None) -> None:
    (tmp_path / "internet.toml").write_text(INTERNET)
    (tmp_path / "domains.conf").write_text("github.com\n")
    rootless.give(tmp_path)
    done = user.run(
        *CODETAINER, "up", "--net", "pretend", "--pretend", str(tmp_path / "internet.toml"), "--domains",
        str(tmp_path / "domains.conf"), "--claude", str(IDLE), "--name", f"rootless-code-{os.getpid()}", "--",
        "sh", "-c", "id -u; pwd; exit 7",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (7, "1000\n/workspace/repo\n"), done.stderr
    assert done.stderr == ""


def check(who: User, *before: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = who.run(*before, *CODETAINER, "check", "--json", "--net", "pretend")
    return done.returncode, {entry["name"]: entry for entry in json.loads(done.stdout)}


def test_check_finds_everything_that_is_needed(user: User) -> None:
    code, found = check(user)
    assert [entry for entry in found.values() if entry["problem"]] == []
    assert {"root", "overlay", "proc and sysfs", "nf_tables"} <= found.keys()
    assert code == 0


def test_check_without_subordinate_ids_names_the_command_that_gives_them() -> None:
    with rootless.user(subordinate=False) as who:
        code, found = check(who)
        for kind in ("uids", "gids"):
            entry = found[f"subordinate {kind}"]
            assert "only your own id is available" in entry["problem"]
            assert f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {rootless.NAME}" in entry["remedy"]
        assert code == 1
        done = who.run(*CODETAINER, "up", "--net", "pretend", "--", "true")
        assert done.returncode == 1
        assert "only your own id is available" in done.stderr


def test_check_under_no_new_privileges_says_so(user: User) -> None:
    code, found = check(user, "setpriv", "--no-new-privs", "--")
    assert code == 1
    assert "no_new_privs" in found["new privileges"]["problem"]


def test_check_notices_a_newuidmap_that_is_not_setuid() -> None:
    def prepare(folder: Path) -> None:
        (folder / "newuidmap").write_bytes(Path("/usr/bin/newuidmap").read_bytes())
        (folder / "newuidmap").chmod(0o755)
        mount(str(folder / "newuidmap"), Path("/usr/bin/newuidmap"), flags=Mount.BIND)

    with rootless.user(prepare) as who:
        code, found = check(who)
        assert code == 1
        assert found["newuidmap"]["problem"] == "/usr/bin/newuidmap is not setuid"
        assert "apt-get install uidmap" in found["newuidmap"]["remedy"]


def test_check_notices_what_covers_a_part_of_proc() -> None:
    """As in a container: the kernel then refuses a new /proc, which would show what is covered."""

    def prepare(folder: Path) -> None:
        mount("tmpfs", Path("/proc/scsi") if Path("/proc/scsi").is_dir() else Path("/proc/fs"), "tmpfs", Mount.RDONLY)

    with rootless.user(prepare) as who:
        code, found = check(who)
        assert code == 1
        assert "proc" in found["proc and sysfs"]["problem"]
        assert "mounted over" in found["proc and sysfs"]["remedy"]


def test_signals_end_it(user: User, tmp_path: Path, nothing_left: None) -> None:
    running = user.start(tmp_path, f"rootless-term-{os.getpid()}")
    assert running.stop() == 128 + signal.SIGTERM
