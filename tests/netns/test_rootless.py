"""`codetainer up` of an ordinary user: the same sandbox in a user namespace, and what only its operator can do with it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from backend.contract.events import BootFinished, BootState, Froze, Outcome, ProofFinished, StepFinished
from backend.contract.paths import AGENT_UID
from backend.sandbox import user_namespace
from tests.netns import machine, rootless
from tests.netns.rootless import SUBORDINATE, UID, User
from tests.netns.sandbox import CODETAINER, PATIENCE, Begin, Running, eventually

pytestmark = pytest.mark.netns


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
    assert proof.failed == ()
    shown = sandbox.codetainer("status", "--walls").stdout
    assert "FAILED" not in shown
    assert "  started without root:\n" in shown


def test_nothing_of_the_machine_shows(sandbox: Running) -> None:
    machine.shows_nothing(sandbox)
    machine.homes_are_read_only(sandbox)


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


# --- attacks ---


def test_nothing_but_files_is_bound_into_the_root(sandbox: Running) -> None:
    """A socket that is bound would reach the machine."""
    for line in Path(f"/proc/{sandbox.init}/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if point.startswith(("/etc", "/usr", "/var")):
            place = sandbox.paths.root / point.lstrip("/")
            assert place.is_dir() or place.is_file() or place.is_char_device(), point
            assert {"ro", "nosuid"} <= set(line.split()[5].split(",")) or place.is_char_device() or " tmpfs " in line, line


LOOK = """
import json, os, sys
from pathlib import Path
found = []
for process in Path("/proc").iterdir():
    if process.name.isdigit():
        try:
            if sys.argv[1].encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:
            pass
print(json.dumps([pid for pid in found if int(pid) != os.getpid()]))
"""


def test_processes_and_files_of_the_operator_are_out_of_sight(sandbox: Running, user: User, tmp_path: Path) -> None:
    """Also for root inside, which has the operator's uid."""
    rootless.give(tmp_path)
    secret = f"{os.getpid()}-outside"
    (tmp_path / "secret").write_text(secret)
    outside = subprocess.Popen(user.called("sleep", "600"), env={**os.environ, "TOKEN": secret}, stdin=subprocess.DEVNULL)
    try:
        eventually("it runs", lambda: b"sleep" in Path(f"/proc/{outside.pid}/cmdline").read_bytes()[:5])
        assert secret.encode() in Path(f"/proc/{outside.pid}/environ").read_bytes()
        for root in (False, True):
            assert sandbox.python(LOOK, secret, root=root) == []
            assert sandbox.python(f"import json, os; print(json.dumps(os.path.exists({str(tmp_path)!r})))", root=root) is False
    finally:
        outside.kill()
        outside.wait(timeout=PATIENCE)


TRY = """
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall(number, *arguments)
    return errno.errorcode.get(ctypes.get_errno(), "")
def change(function, *ids):
    try:
        function(*ids)
    except OSError as error:
        return errno.errorcode[error.errno]
    return ""
def read(path):
    try:
        return open(path, "rb").read(1) and ""
    except OSError as error:
        return errno.errorcode[error.errno]
NUMBERS = {"ptrace": (101, 117), "keyctl": (250, 219), "setns": (308, 268), "unshare": (272, 97), "mount": (165, 40),
           "pidfd_getfd": (438, 438), "process_vm_readv": (310, 270), "open_by_handle_at": (304, 265)}
number = lambda name: NUMBERS[name][os.uname().machine == "aarch64"]
"""
AS_AGENT = (
    TRY
    + """
print(json.dumps({
    "attach to the first process": call(number("ptrace"), 16, 1, 0, 0),
    "read the memory of the first process": call(number("process_vm_readv"), 1, 0, 0, 0, 0, 0),
    "user namespace": call(number("unshare"), 0x10000000),
    "keyring": call(number("keyctl"), 1, 0),
    "mount": call(number("mount"), b"none", b"/tmp", b"tmpfs", 0, 0),
    "environment of the first process": read("/proc/1/environ"),
    **{f"uid {uid}": change(os.setresuid, uid, uid, uid) for uid in (0, 953, 957, 1001)},
    **{f"gid {gid}": change(os.setresgid, gid, gid, gid) for gid in (0, 5, 953)},
    "groups": change(os.setgroups, [0]),
}))
"""
)


def test_the_agent_gains_no_other_identity(sandbox: Running) -> None:
    tried = sandbox.python(AS_AGENT)
    assert {
        what: error for what, error in tried.items() if error not in ("EPERM", "EINVAL", "ENOSYS", "ENOENT", "EACCES")
    } == {}


AS_ROOT = (
    TRY
    + """
print(json.dumps({
    **{f"uid {uid}": change(os.setresuid, uid, uid, uid) for uid in (1, 1001, 61184, 65534)},
    **{f"gid {gid}": change(os.setresgid, gid, gid, gid) for gid in (4, 6, 1001, 61184)},
    "the machine's time namespace": call(number("setns"), os.open("/proc/1/ns/time", os.O_RDONLY), 0),
}))
"""
)


def test_even_root_inside_takes_no_id_that_is_not_the_sandboxs(sandbox: Running) -> None:
    tried = sandbox.python(AS_ROOT, root=True)
    assert {what: error for what, error in tried.items() if error not in ("EPERM", "EINVAL")} == {}


def test_newuidmap_gives_nothing_inside(sandbox: Running) -> None:
    """It is not setuid there, so root inside cannot have more of the operator's subordinate ids mapped."""
    first, _ = SUBORDINATE
    script = f"unshare --user sleep 60 & sleeping=$!; newuidmap $sleeping 0 {first} 1; code=$?; kill $sleeping; exit $code"
    assert sandbox.root("sh", "-c", script).returncode != 0
    for program in ("newuidmap", "su", "mount"):
        before = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--"]
        show = "import os; print(os.statvfs(os.sys.argv[1]).f_flag & os.ST_NOSUID)"
        done = sandbox.root(*before, "/usr/bin/python3", "-c", show, f"/usr/bin/{program}")
        assert done.stdout == f"{os.ST_NOSUID}\n", done.stderr


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


def test_signals_end_it(sandbox: Running, user: User) -> None:
    """The last test, because it ends the shared sandbox."""
    assert sandbox.stop() == 128 + signal.SIGTERM
    eventually("its first process has gone", lambda: not Path(f"/proc/{sandbox.init}").exists())
    done = user.run(*CODETAINER, "enter", "--name", sandbox.name, "--", "true")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, f"codetainer: cannot find a sandbox called {sandbox.name}")
