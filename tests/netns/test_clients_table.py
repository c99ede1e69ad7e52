"""Some rows of the table in docs/clients.md, measured again: no cell has changed since `make clients` stored the results.

These clients are on every machine. `make clients` measures all of them, and takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.clients import judging, stored
from tests.netns.clients.measure import Measured, measure
from tests.netns.clients.rows import COLUMNS, ROWS, Client

pytestmark = pytest.mark.netns

CLIENTS = ("git", "curl", "requests", "httpx", "node")
ROWS_HERE = [client for client in ROWS if client.key in CLIENTS]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    folder: Path = tmp_path_factory.mktemp("table")
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)  # the sandbox's users look into it
    yield measure(folder, {}, ROWS_HERE)


@pytest.mark.parametrize("client", ROWS_HERE, ids=CLIENTS)
def test_a_client_does_what_the_table_says(measured: Measured, client: Client) -> None:
    here, known = judging.judged(measured, [client], "today")[client.key], stored.load()[client.key]
    changed = {
        COLUMNS[column]: f"{known.cells[column]} -> {word} ({judging.details(measured, client, column)})"
        for column, word in here.cells.items()
        if word != known.cells[column]
    }
    assert changed == {}, (
        f"{client.name} {here.version} with HAProxy {here.haproxy}; stored for {known.version} with HAProxy {known.haproxy}. "
        f"If this is right: python -m tests.netns.clients {client.key}"
    )
    assert here.trust == known.trust


def test_no_cookie_and_no_foreign_credential_arrives(measured: Measured) -> None:
    assert judging.arrived(measured) == []
