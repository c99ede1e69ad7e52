"""The gate's totals by name, which survive evictions and restarts of HAProxy's table."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract.events import Carried
from backend.contract.paths import Paths
from backend.services import gate
from backend.services.gate import Gate

Rows = dict[str, tuple[int, int]]  # name:port -> connections, bytes out


class Table(Gate):
    """A gate whose HAProxy table the test sets."""

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
        """Sets the table; returns the totals that changed."""
        self.rows = rows
        return {one.name: (one.connections, one.bytes_out) for one in await self.take_carried()}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


async def test_the_ports_of_a_name_are_added_up(table: Table) -> None:
    assert await table.look({"a.example:443": (2, 10), "a.example:80": (1, 5)}) == {"a.example": (3, 15)}
    assert await table.look({"a.example:443": (2, 10), "a.example:80": (1, 5)}) == {}


async def test_totals_of_evicted_names_are_kept(table: Table) -> None:
    """HAProxy's table has a few thousand entries. The agent must not be able to reset an upload alert with that many names."""
    table.much_out = 100
    await table.look({"a.example:443": (3, 90), "a.example:80": (1, 1), "b.example:443": (1, 1)})
    assert await table.look({"a.example:80": (1, 1), "new.example:443": (1, 1)}) == {"new.example": (1, 1)}
    assert await table.look({"a.example:443": (1, 20), "a.example:80": (1, 1)}) == {"a.example": (5, 111)}
    assert table._carried["a.example"].marked
    assert await table.look({"a.example:443": (2, 30), "a.example:80": (1, 1)}) == {"a.example": (6, 121)}


async def test_totals_of_a_name_that_was_evicted_and_returned_are_kept(table: Table) -> None:
    await table.look({"a.example:443": (3, 90)})
    assert await table.look({"a.example:443": (1, 7)}) == {"a.example": (4, 97)}


async def test_totals_survive_a_restart_of_the_gate(table: Table) -> None:
    await table.look({"a.example:443": (3, 90)})
    table._keep({})
    assert await table.look({}) == {}
    assert await table.look({"a.example:443": (1, 7)}) == {"a.example": (4, 97)}


async def test_the_number_of_names_is_limited(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MAX_NAMES", 10)
    for number in range(1000):
        await table.look({f"{number}.example:443": (1, 1)})
    assert len(table._carried) <= 10
    assert len(table._before) <= 10
    assert isinstance(table._carried["999.example"], Carried)
