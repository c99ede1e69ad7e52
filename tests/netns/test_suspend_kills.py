"""Nothing that is killed while it suspends or resumes damages an archive or loses work that was in one."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns import kills
from tests.netns.sandbox import CODETAINER, Running, eventually, start

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox whose agent writes to a clock all the time."""
    running = start(tmp_path_factory.mktemp("kills"), f"kills-{os.getpid()}")
    argv, environment = running.called_as_agent("sh", "-c", kills.CLOCK)
    with subprocess.Popen(argv, env=environment, start_new_session=True):
        eventually("the agent works", lambda: (running.paths.workspace / "clock").exists())
        yield running
        running.stop()


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_suspend_leaves_a_whole_file_and_a_working_agent(working: Running, seed: int, tmp_path: Path) -> None:
    kills.suspend_killed(working, tmp_path / "work.tar", random.Random(seed))
    done = subprocess.run([*CODETAINER, "suspend", "--name", working.name, str(tmp_path / "work.tar")], timeout=60)
    assert done.returncode == 0  # what the killed one has left is not in the way
    assert kills.clock(tmp_path / "work.tar") > 0
    assert [file.name for file in tmp_path.iterdir()] == ["work.tar"]


def test_killed_sandboxes_lose_nothing_that_was_written(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o700)
    chance = random.Random(17)
    for number in range(3):
        kills.lived(tmp_path, volume, number, chance)
