"""The output of `ssh-config`, and its errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract import events as e
from backend.contract.paths import Paths
from backend.contract.state import fold_all
from codetainer_tui import cli, ssh_config
from codetainer_tui.view import view

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
OPENED = e.SshOpened(2222, 2, KEY, "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0")
UP, DOWN = (e.ServiceChanged("sshd", state, 7, detail="taken") for state in (e.ServiceState.UP, e.ServiceState.DOWN))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.run.mkdir(parents=True)
    return made


def write(paths: Paths, *events: e.Event) -> None:
    paths.journal.write_text("".join(e.encode(e.Stamped(float(n), n, event)) + "\n" for n, event in enumerate(events, 1)))


def say(paths: Paths, *, name: str = "there", host: str = "203.0.113.9", port: int = 0, known_hosts: bool = False) -> int:
    return ssh_config.ssh_config(paths, name=name, host=host, port=port, known_hosts=known_hosts)


def test_the_entry_and_the_host_key(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    write(paths, UP, OPENED)
    assert say(paths) == 0
    said = capsys.readouterr().out
    assert (
        "Host there\n    HostName 203.0.113.9\n    Port 2222\n    User root\n    HostKeyAlias codetainer-diy3wvvv6t\n" in said
    )
    assert OPENED.fingerprint in said
    assert say(paths, known_hosts=True) == 0
    line = capsys.readouterr().out
    assert line == f"codetainer-diy3wvvv6t {KEY}\n"
    assert f"#   {line}" in said


def test_host_and_port_can_be_set(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    write(paths, UP, OPENED)
    assert say(paths, host="box.example", port=22022) == 0
    said = capsys.readouterr().out
    assert "HostName box.example" in said
    assert "Port 22022" in said


@pytest.mark.parametrize(
    ("events", "words"),
    [((), "sshd is not enabled here"), ((UP,), "sshd is not enabled here"), ((UP, OPENED, DOWN), "sshd is down: taken")],
)
def test_without_sshd_it_reports_the_reason(
    paths: Paths, events: tuple[e.Event, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(paths, *events)
    assert say(paths) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err


@pytest.mark.parametrize("arguments", [["--name", "two words"], ["--port", "ssh"], ["--host", ""], ["--name", "a*"]])
def test_invalid_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["ssh-config", *arguments])
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_the_dashboard_has_a_row_for_ssh() -> None:
    state = fold_all([e.Stamped(float(n), n, event) for n, event in enumerate((UP, OPENED), 1)])
    (row,) = (row for row in view(state, 3.0).rows if row.label == "SSH")
    assert row.cells == ("up", "port 2222", OPENED.fingerprint, "2 keys", "taken")
    state = fold_all([e.Stamped(9.0, 9, DOWN)], state)
    assert any("docker exec" in line for block in view(state, 9.0).blocks for line in block.lines)
