"""Finding the program that waits for an answer, in a fake /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.services import dns_client

HEADER = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
LINE = (
    "  12: 0100007F:{port:04X} 3500007F:0035 01 00000000:00000000 00:00000000 00000000 {uid:>5}        0 {inode} 2 "
    "0000000000000000 0\n"
)
UID = os.getuid()


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/udp").write_text(HEADER)
    monkeypatch.setattr(dns_client, "AGENT_UID", UID)  # the owner of the test's files
    return tmp_path


def socket(proc: Path, port: int, inode: int, uid: int = UID) -> None:
    with (proc / "net/udp").open("a") as table:
        table.write(LINE.format(port=port, uid=uid, inode=inode))


def process(proc: Path, pid: int, comm: str, *descriptors: str) -> None:
    (proc / f"{pid}/fd").mkdir(parents=True)
    (proc / f"{pid}/comm").write_text(f"{comm}\n")
    for number, target in enumerate(descriptors):
        (proc / f"{pid}/fd/{number}").symlink_to(target)


def test_the_owner_of_the_socket_is_named(proc: Path) -> None:
    socket(proc, 40001, 11)
    socket(proc, 40002, 12)
    process(proc, 100, "node", "/dev/null", "socket:[11]")
    process(proc, 101, "curl", "pipe:[12]", "socket:[12]")
    assert dns_client.program(40002, proc) == "curl"
    assert dns_client.program(40003, proc) == ""


def test_an_ipv6_socket_is_found_too(proc: Path) -> None:
    (proc / "net/udp6").write_text(HEADER + LINE.format(port=5, uid=UID, inode=7).replace("0100007F", "0" * 32))
    process(proc, 100, "node", "socket:[7]")
    assert dns_client.program(5, proc) == "node"


def test_sockets_of_other_users_are_ignored(proc: Path) -> None:
    socket(proc, 40001, 11, uid=UID + 1)
    process(proc, 100, "dig", "socket:[11]")
    assert dns_client.program(40001, proc) == ""


def test_a_program_name_may_contain_any_bytes(proc: Path) -> None:
    socket(proc, 40001, 11)
    process(proc, 100, "x", "socket:[11]")
    (proc / "100/comm").write_bytes(b"\xff\x1b[2J\n")
    assert dns_client.program(40001, proc) == "\ufffd\x1b[2J"


def test_an_unreadable_table_is_ignored(proc: Path) -> None:
    (proc / "net/udp").unlink()
    (proc / "net/udp").mkdir()
    assert dns_client.program(40001, proc) == ""


def test_a_search_ends_at_its_time_limit(proc: Path) -> None:
    socket(proc, 40001, 11)
    process(proc, 100, "curl", "socket:[11]")
    assert dns_client.program(40001, proc, seconds=0.0) == ""
