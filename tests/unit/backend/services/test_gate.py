"""What the gate has carried, by name, whatever becomes of its own table; and the cookies that it dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract.events import Carried
from backend.contract.paths import Paths
from backend.services import gate
from backend.services.gate import Gate

Rows = dict[str, tuple[int, int]]  # by name and port: connections, bytes that went out


class Table(Gate):
    """A gate whose table is what the test says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Paths(folder), lambda _: None)
        self.rows: Rows = {}

    async def ask(self, *commands: str) -> list[str]:
        lines = (
            f"0x1: key={key} use=0 exp=0 conn_cnt={count} conn_cur=0 bytes_in_cnt={out} bytes_out_cnt=0\n"
            for key, (count, out) in self.rows.items()
        )
        return ["# table: names, type: string, size:4096, used:2\n" + "".join(lines)]

    async def look(self, rows: Rows) -> dict[str, tuple[int, int]]:
        """What is said after the table has become this."""
        self.rows = rows
        return {one.name: (one.connections, one.bytes_out) for one in await self.take_carried()}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


async def test_ports_of_a_name_are_one(table: Table) -> None:
    assert await table.look({"a.example:443": (2, 10), "a.example:80": (1, 5)}) == {"a.example": (3, 15)}
    assert await table.look({"a.example:443": (2, 10), "a.example:80": (1, 5)}) == {}


async def test_what_made_room_for_newer_names_is_still_counted(table: Table) -> None:
    """The table holds some thousand names. Else whoever has sent much would begin anew after that many others."""
    table.much_out = 100
    await table.look({"a.example:443": (3, 90), "a.example:80": (1, 1), "b.example:443": (1, 1)})
    assert await table.look({"a.example:80": (1, 1), "new.example:443": (1, 1)}) == {"new.example": (1, 1)}
    assert await table.look({"a.example:443": (1, 20), "a.example:80": (1, 1)}) == {"a.example": (5, 111)}
    assert table._carried["a.example"].marked
    assert await table.look({"a.example:443": (2, 30), "a.example:80": (1, 1)}) == {"a.example": (6, 121)}


async def test_what_went_and_came_back_between_two_looks_is_still_counted(table: Table) -> None:
    await table.look({"a.example:443": (3, 90)})
    assert await table.look({"a.example:443": (1, 7)}) == {"a.example": (4, 97)}


async def test_a_gate_that_was_started_again_counts_on(table: Table) -> None:
    await table.look({"a.example:443": (3, 90)})
    table._keep({})
    assert await table.look({}) == {}
    assert await table.look({"a.example:443": (1, 7)}) == {"a.example": (4, 97)}


async def test_what_is_remembered_is_bounded(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MAX_NAMES", 10)
    for number in range(1000):
        await table.look({f"{number}.example:443": (1, 1)})
    assert len(table._carried) <= 10
    assert len(table._before) <= 10
    assert isinstance(table._carried["999.example"], Carried)
