from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from backend.boot.plan import StepSkipped
from backend.boot.steps import platform
from backend.context import Boot
from backend.contract.paths import Paths


class OnlyPaths:
    def __init__(self, paths: Paths) -> None:
        self.paths = paths


async def test_the_platforms_folder_is_closed_to_the_agent(tmp_path: Path) -> None:
    (tmp_path / ".fly").mkdir(mode=0o755)
    assert await platform.run(cast(Boot, OnlyPaths(Paths(tmp_path)))) == "only root can access /.fly"
    assert (tmp_path / ".fly").stat().st_mode & 0o777 == 0o700


async def test_without_the_folder_the_step_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(StepSkipped):
        await platform.run(cast(Boot, OnlyPaths(Paths(tmp_path))))
