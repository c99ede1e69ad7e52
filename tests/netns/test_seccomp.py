"""The agent's system call filter in a running sandbox: refused calls, filtered processes, and the setting to turn it off."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from backend.contract.events import ProofFinished
from tests.netns.sandbox import Running, eventually, start
from tests.netns.test_login import DETACH, FAKE_CLAUDE
from tests.netns.test_up_terminal import at

pytestmark = pytest.mark.netns

# System calls by number (asm/unistd_64.h, asm-generic/unistd.h), without a library, as an attacker would make them.
NUMBERS = {
    "x86_64": {"mount": 165, "unshare": 272, "setns": 308, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "socket": 41,
               "socketpair": 53, "ioctl": 16, "finit_module": 313, "userfaultfd": 323, "io_uring_setup": 425, "clone3": 435,
               "fsopen": 430},
    "aarch64": {"mount": 40, "unshare": 97, "setns": 268, "keyctl": 219, "bpf": 280, "perf_event_open": 241, "socket": 198,
                "socketpair": 199, "ioctl": 29, "finit_module": 273, "userfaultfd": 282, "io_uring_setup": 425, "clone3": 435,
               "fsopen": 430},
}  # fmt: skip
EPERM, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT = 1, 38, 93, 97
AF_INET, IPPROTO_MPTCP = 2, 262
CLONE_NEWUSER, TIOCSTI, AF_VSOCK, AF_NETLINK, NETLINK_NETFILTER = 0x10000000, 0x5412, 40, 16, 12

CALL = """
import ctypes, json, sys
call = ctypes.CDLL(None, use_errno=True).syscall
call.restype = ctypes.c_long
arguments = [ctypes.c_ulong(int(text)) for text in sys.argv[1:]]
print(json.dumps([call(*arguments), ctypes.get_errno()]))
"""

# mov eax, 20 (getpid of i386); int 0x80; ret
OTHER_ARCHITECTURE = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")
ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
"""


@pytest.mark.parametrize(
    ("name", "arguments", "errno"),
    [
        ("mount", (0, 0, 0, 0, 0), EPERM),
        ("fsopen", (0, 0), EPERM),
        ("unshare", (CLONE_NEWUSER,), EPERM),
        ("setns", (0, 0), EPERM),
        ("finit_module", (0, 0, 0), EPERM),
        ("keyctl", (0, 0), EPERM),
        ("bpf", (0, 0, 0), EPERM),
        ("perf_event_open", (0, 0, 0, 0, 0), EPERM),
        ("userfaultfd", (1,), EPERM),
        ("io_uring_setup", (1, 0), ENOSYS),
        ("clone3", (0, 0), ENOSYS),
        ("ioctl", (0, TIOCSTI, 0), EPERM),
        ("ioctl", (0, 1 << 32 | TIOCSTI, 0), EPERM),
        ("socket", (AF_VSOCK, 1, 0), EAFNOSUPPORT),
        ("socket", (1 << 32 | AF_VSOCK, 1, 0), EAFNOSUPPORT),
        ("socket", (AF_NETLINK, 3, NETLINK_NETFILTER), EAFNOSUPPORT),
        ("socket", (AF_INET, 1, IPPROTO_MPTCP), EPROTONOSUPPORT),
        ("socketpair", (AF_VSOCK, 1, 0, 0), EAFNOSUPPORT),
    ],
)
def test_it_refuses(sandbox: Running, name: str, arguments: tuple[int, ...], errno: int) -> None:
    number = NUMBERS[platform.machine()][name]
    assert sandbox.python(CALL, number, *arguments) == [-1, errno]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="int 0x80 is x86's")
def test_another_architecture_does_not_bypass_it(sandbox: Running) -> None:
    done = sandbox.agent("sh", "-c", 'python3 -I -c "$1"; echo "ended with $?"', "sh", OTHER_ARCHITECTURE)
    assert "ended with 159" in done.stdout  # 128 + SIGSYS


def test_all_processes_of_the_agent_are_filtered(sandbox: Running) -> None:
    with at("enter", "--name", sandbox.name, "--root", "--", "attach-claude") as terminal:
        terminal.expect(FAKE_CLAUDE)
        under = {name for name, filtered in agents(sandbox) if filtered}
        assert {"tmux: client", "tmux: server", "bash"} <= under
        assert [name for name, filtered in agents(sandbox) if not filtered] == []
        terminal.type(DETACH)
        assert terminal.code() == 0


def test_root_does_not_search_the_agents_path(sandbox: Running) -> None:
    done = sandbox.root("env", "PATH=/tmp:/usr/bin", "/opt/codetainer/confine", "true")
    assert done.returncode == 127
    assert "expected an absolute path" in done.stderr
    assert sandbox.root("/opt/codetainer/confine", "/nonexistent").returncode == 126


def agents(sandbox: Running) -> list[tuple[str, bool]]:
    """Lists the agent's processes in a sandbox: their names, and whether their system calls are filtered."""
    namespace = Path(f"/proc/{sandbox.init}/ns/pid").readlink()
    processes_seen = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
            if status["Uid"].split()[1] == "1000" and (process / "ns/pid").readlink() == namespace:
                processes_seen.append((status["Name"], status["Seccomp"] == "2"))
        except (OSError, KeyError):
            continue
    return processes_seen


def test_the_self_test_includes_it(sandbox: Running) -> None:
    eventually("the self-test has run", lambda: sandbox.events(ProofFinished))
    assert sandbox.events(ProofFinished)[0].failed == ()


def test_the_operator_can_turn_it_off(tmp_path: Path) -> None:
    running = start(tmp_path, f"unfiltered-{os.getpid()}", CODETAINER_SECCOMP="off")
    try:
        assert "Seccomp:\t0" in running.agent("cat", "/proc/self/status").stdout
        assert running.agent("sh", "-c", "echo on > /run/codetainer/front-end").returncode != 0
    finally:
        running.stop()
