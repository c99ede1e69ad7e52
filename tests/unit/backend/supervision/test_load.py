"""When a measurement of the sandbox's load is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backend.contract.events import Largest, SandboxMeasured
from backend.supervision import load
from backend.supervision.load import Load
from backend.tmpfs import Usage

REPORTED = SandboxMeasured(20.0, 1 << 30, 4 << 30, {"/tmp": (1 << 20, 1 << 29)}, 15.0, 1 << 29, 7)


@pytest.mark.parametrize(
    ("measured", "differs"),
    [
        (REPORTED, False),
        (replace(REPORTED, cpu=24.0, agent_cpu=11.0), False),
        (replace(REPORTED, cpu=25.0), True),
        (replace(REPORTED, agent_cpu=9.0), True),
        (replace(REPORTED, agent_processes=8), True),
        (replace(REPORTED, memory_used=(1 << 30) + (1 << 20)), True),
        (replace(REPORTED, tmpfs={"/tmp": (2 << 20, 1 << 29)}), True),
        (replace(REPORTED, inodes={"/tmp": (1310, 131072)}), True),
        (replace(REPORTED, largest={"/tmp": (Largest("core", 1 << 20),)}), True),
    ],
)
def test_only_noticeable_changes_are_reported(measured: SandboxMeasured, differs: bool) -> None:
    assert load._differs(measured, REPORTED) is differs


@pytest.mark.parametrize(
    ("used", "limit", "shown"),
    [(1309, 131072, 0), (1310, 131072, 1310), (131071, 131072, 131000), (131072, 131072, 131072), (7, 50, 7)],
)
def test_inodes_are_rounded_down_unless_all_are_used(used: int, limit: int, shown: int) -> None:
    assert load.inodes(Usage(0, 0, used, limit)) == (shown, limit)


def test_processes_that_have_ended_take_their_time_with_them() -> None:
    assert load.percent(-3.0, 5.0) == 0.0
    assert load.percent(2.5, 5.0) == 50.0
    assert load.percent(1.0, 0.0) == 0.0


def test_the_agents_share_is_part_of_the_whole() -> None:
    now = Load.now()
    assert now.resident > 0
    assert now.agent_resident <= now.resident
    assert now.agent_processes < len(list(Path("/proc").iterdir()))
