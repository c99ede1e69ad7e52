"""Nothing of this machine shows in a sandbox of root's `codetainer up` (tests/netns/test_rootless.py has the other way)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.netns import machine
from tests.netns.sandbox import Running, start

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("machine"), f"machine-{os.getpid()}")
    yield running
    running.stop()


def test_nothing_of_the_machine_shows(sandbox: Running) -> None:
    machine.shows_nothing(sandbox)


def test_roots_home_is_read_only(sandbox: Running) -> None:
    machine.homes_are_read_only(sandbox)
