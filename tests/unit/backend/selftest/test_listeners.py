"""The search for listeners that no process of the sandbox holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract.paths import AGENT_UID, COREDNS_UID, GATE_UID
from backend.selftest import listeners

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(address: str, state: str = "0A", uid: int = 0, inode: int = 77) -> str:
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:>5}        0 {inode} 1 0 100\n"


def proc(folder: Path, **tables: str) -> Path:
    """A /proc whose process 5, which belongs to the user of this test, holds the socket 50."""
    (folder / "net").mkdir()
    for name, text in tables.items():
        (folder / "net" / name).write_text(HEAD + text)
    (folder / "5/fd").mkdir(parents=True)
    (folder / "5/fd/3").symlink_to("socket:[50]")
    (folder / "5/task/6/fd").mkdir(parents=True)
    (folder / "5/task/6/fd/4").symlink_to("socket:[60]")
    (folder / "self").mkdir()
    return folder


@pytest.mark.parametrize(
    ("table", "text", "shown"),
    [
        ("tcp", line("0100007F:1F90"), "127.0.0.1:8080 (tcp, uid 0)"),
        ("tcp", line("00000000:1F90"), "0.0.0.0:8080 (tcp, uid 0)"),
        ("tcp6", line("00000000000000000000000001000000:1F90"), "[::1]:8080 (tcp6, uid 0)"),
        ("tcp6", line("00000000000000000000000000000000:0016", uid=955), "[::]:22 (tcp6, uid 955)"),
        ("tcp", line("00000000:0016"), "0.0.0.0:22 (tcp, uid 0)"),
        ("udp", line("0100007F:0035", "07", 65534), "127.0.0.1:53 (udp, uid 65534)"),
        ("tcp", line("3500007F:1F90"), "127.0.0.53:8080 (tcp, uid 0)"),  # beside the upstream
        ("tcp", line("00000000:08AE", uid=65534), "0.0.0.0:2222 (tcp, uid 65534)"),
        ("tcp", line("0100007F:1F90", uid=GATE_UID), f"127.0.0.1:8080 (tcp, uid {GATE_UID})"),
        ("tcp", line("0100007F:1F90", inode=50) + line("0100007F:1F91"), "127.0.0.1:8081 (tcp, uid 0)"),
    ],
)
def test_a_listener_without_a_process_is_a_problem(tmp_path: Path, table: str, text: str, shown: str) -> None:
    expected = f"a program outside of the sandbox listens inside on {shown}: the agent can reach it"
    assert listeners.foreign((("127.0.0.53", 53),), 2222, proc(tmp_path, **{table: text})) == expected


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("tcp", line("0100007F:1F90", inode=50)),
        ("tcp", line("0100007F:1F90", inode=60)),  # held by a thread whose main thread has ended
        ("tcp", line("0100007F:1F90", uid=AGENT_UID)),
        ("tcp", line("0100007F:1F90", "01")),  # a connection
        ("udp", line("0100007F:1F90", "01")),
        ("tcp6", line("00000000000000000000000000000000:0016")),  # a platform's SSH
        ("tcp", line("0B00007F:A1B2")),  # Docker's resolver
        ("udp", line("3500007F:0035", "07")),  # the upstream
        ("tcp", line("00000000:08AE")),  # our sshd, on port 2222
        ("tcp", ""),
    ],
)
def test_what_belongs_to_the_sandbox_is_no_problem(tmp_path: Path, table: str, text: str) -> None:
    assert listeners.foreign((("127.0.0.53", 53),), 2222, proc(tmp_path, **{table: text})) == ""


def test_several_are_counted(tmp_path: Path) -> None:
    text = line("0100007F:1F90", inode=1) + line("0100007F:1F91", inode=2)
    assert "8080 (tcp, uid 0) and 1 more: " in listeners.foreign(proc=proc(tmp_path, tcp=text))


@pytest.mark.parametrize(
    ("uid", "of_socket", "problem"),
    [
        (COREDNS_UID, COREDNS_UID, ""),
        (COREDNS_UID, GATE_UID, "127.0.0.1:8080"),
        (COREDNS_UID, 0, "127.0.0.1:8080"),
        (0, 0, "127.0.0.1:8080"),
        (AGENT_UID, 0, "127.0.0.1:8080"),
    ],
)
def test_a_service_whose_descriptors_are_closed_to_root_may_listen(
    tmp_path: Path, uid: int, of_socket: int, problem: str
) -> None:
    """As in a container without CAP_DAC_OVERRIDE. Nothing else is excused, least of all by a process of the agent."""
    folder = proc(tmp_path, tcp=line("0100007F:1F90", uid=of_socket))
    (folder / "8").mkdir()
    (folder / "8/fd").touch()  # reading it as a folder is an error, also for root
    (folder / "8/status").write_text(f"Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
    found = listeners.foreign(proc=folder)
    assert problem in found
    assert bool(found) == bool(problem)
