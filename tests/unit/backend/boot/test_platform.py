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


async def test_the_platforms_folder_becomes_roots_alone(tmp_path: Path) -> None:
    (tmp_path / ".fly").mkdir(mode=0o755)
    assert await platform.run(cast(Boot, OnlyPaths(Paths(tmp_path)))) == "/.fly is root's alone"
    assert (tmp_path / ".fly").stat().st_mode & 0o777 == 0o700


async def test_elsewhere_there_is_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(StepSkipped):
        await platform.run(cast(Boot, OnlyPaths(Paths(tmp_path))))
