"""The freezer against the kernel: by a cgroup where this machine has one to make, and by signals."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.supervision import freezer
from backend.supervision.freezer import Freezer

pytestmark = pytest.mark.netns

COUNT = "i=0; while :; do i=$((i+1)); echo $i > $1; sleep 0.01; done"


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    place = tmp_path / "count"
    process = subprocess.Popen(["sh", "-c", COUNT, "sh", str(place)])
    while not place.exists():
        pass
    yield process, place
    process.kill()
    process.wait()


def changes(place: Path, looks: int) -> bool:
    before = place.read_text()
    for _ in range(looks):
        subprocess.run(["sleep", "0.02"], check=True)
        if place.read_text() not in (before, ""):
            return True
    return False


@pytest.mark.parametrize("above", [freezer.hierarchy(), None], ids=["cgroup", "signals"])
def test_what_is_frozen_stands_still_and_goes_on_afterwards(
    counting: tuple[subprocess.Popen[bytes], Path], above: Path | None
) -> None:
    process, place = counting
    frozen = Freezer(lambda: [process.pid], above)
    means = frozen.freeze()
    try:
        assert means == ("signals" if above is None else "cgroup")
        assert not changes(place, 10)
    finally:
        frozen.thaw()
    assert changes(place, 500)
    assert frozen.cgroup is None or not frozen.cgroup.exists()


def test_a_hierarchy_that_may_not_be_written_is_none(tmp_path: Path) -> None:
    info = tmp_path / "mountinfo"
    info.write_text("30 25 0:26 / /proc/nowhere rw,nosuid - cgroup2 cgroup2 rw\n31 25 0:27 / /tmp rw - tmpfs tmpfs rw\n")
    assert freezer.hierarchy(info) is None


def test_signals_where_the_cgroup_cannot_be_made(counting: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, place = counting
    frozen = Freezer(lambda: [process.pid], Path("/proc/1"))
    assert frozen.freeze() == "signals"
    assert not changes(place, 5)
    frozen.thaw()
