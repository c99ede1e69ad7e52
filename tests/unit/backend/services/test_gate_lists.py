"""The gate's lists and maps: the running gate gets only lines that differ, or everything if it is unknown what it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract.paths import Paths
from backend.services.gate import Gate
from backend.system import SystemFailure
from network import allowlist
from network.allowlist import Allowlist


class Socket(Gate):
    """A running gate whose admin socket records commands. With `broken`, it does not answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Paths(folder), lambda _: None)
        self.commands: list[str] = []
        self.broken = False
        self._loaded = self._write_lists()

    async def ask(self, *commands: str) -> list[str]:
        if self.broken:
            raise SystemFailure("cannot ask the gate")
        self.commands += commands
        return ["New version created: 7\n" if command.startswith("prepare") else "\n" for command in commands]

    def taken(self) -> list[str]:
        """The commands that change lists since the last call, with the names of the files only."""
        commands, self.commands = self.commands, []
        folder = f"{self._places.folder}/"
        return [command.replace(folder, "") for command in commands if not command.startswith("show")]


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Socket:
    (tmp_path / "run/codetainer").mkdir(parents=True)
    monkeypatch.setattr("backend.services.service.Service.pid", 7)
    return Socket(tmp_path)


def listed(text: str) -> Allowlist:
    return allowlist.parse(text, "f").allowlist


async def test_a_grant_adds_its_own_lines_only(gate: Socket) -> None:
    names = "".join(f"n{number}.example\n" for number in range(300))
    await gate.change(listed(names))
    assert len(gate.taken()) > 300
    await gate.change(listed(f"{names}granted.example read\n"))
    commands = gate.taken()
    assert 0 < len(commands) < 20
    assert all("granted" in command for command in commands)
    await gate.change(listed(names))
    assert {command.split()[0] for command in gate.taken()} == {"del"}


async def test_after_a_failure_everything_is_replaced(gate: Socket) -> None:
    await gate.change(listed("a.example\n"))
    gate.broken = True
    with pytest.raises(SystemFailure):
        await gate.change(listed("a.example\nb.example\n"))
    gate.broken = False
    gate.taken()
    await gate.change(listed("a.example\nb.example\n"))
    assert sum(command.startswith("prepare") for command in gate.taken()) == len(gate._loaded)
