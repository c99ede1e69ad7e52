"""The freezer against the kernel: by a cgroup, and by signals.

`stop_all` reaches everybody of the agent's uid in this pid namespace, so here one stops the processes of the test only; the
whole of it is tried in a sandbox, by test_frozen.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend import system
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


@pytest.fixture
def above(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "cgroups"
    found = freezer.hierarchy(place)
    if found is None:
        assert not os.environ.get("CI"), "no hierarchy of cgroups can be mounted"
        pytest.skip("no hierarchy of cgroups can be mounted")
    yield found
    system.run(["umount", str(place)])


def stops(*pids: int) -> Callable[[], None]:
    def stop() -> None:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    return stop


def changes(place: Path, looks: int) -> bool:
    before = place.read_text()
    for _ in range(looks):
        subprocess.run(["sleep", "0.02"], check=True)
        if place.read_text() not in (before, ""):
            return True
    return False


def test_what_is_frozen_by_a_cgroup_stands_still_whatever_is_sent_to_it(
    counting: tuple[subprocess.Popen[bytes], Path], above: Path
) -> None:
    process, place = counting
    frozen = Freezer(lambda: [process.pid], above, stops(process.pid))
    assert frozen.freeze() == "cgroup"
    cgroup = frozen.cgroup
    assert cgroup is not None
    assert cgroup.parent == above
    try:
        process.send_signal(signal.SIGCONT)
        assert not changes(place, 10)
        assert frozen.freeze() == "cgroup"
    finally:
        frozen.thaw()
    assert changes(place, 500)
    assert not cgroup.exists()


def test_signals_stop_and_let_go_on(counting: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, place = counting
    frozen = Freezer(lambda: [process.pid], None, stops(process.pid))
    assert frozen.freeze() == "signals"
    assert not changes(place, 10)
    frozen.thaw()
    assert changes(place, 500)


def test_what_does_not_stop_is_said(counting: tuple[subprocess.Popen[bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    process, _ = counting
    monkeypatch.setattr(freezer, "FREEZE_SECONDS", 0.0)
    with pytest.raises(system.SystemFailure, match=f"cannot stop 1 processes of the agent's, the first of them {process.pid}"):
        Freezer(lambda: [process.pid], None, stops()).freeze()


def test_a_process_that_stopped_itself_is_not_let_go_on_by_a_thaw(
    counting: tuple[subprocess.Popen[bytes], Path], above: Path
) -> None:
    process, place = counting
    process.send_signal(signal.SIGSTOP)
    frozen = Freezer(lambda: [process.pid], above, stops(process.pid))
    frozen.freeze()
    frozen.thaw()
    assert not changes(place, 10)


def test_signals_where_the_cgroup_cannot_be_made(counting: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, place = counting
    frozen = Freezer(lambda: [process.pid], Path("/proc/1"), stops(process.pid))
    assert frozen.freeze() == "signals"
    assert not changes(place, 5)
    frozen.thaw()


def test_the_end_leaves_no_cgroup(counting: tuple[subprocess.Popen[bytes], Path], above: Path) -> None:
    process, _ = counting
    frozen = Freezer(lambda: [process.pid], above, stops(process.pid))
    assert frozen.freeze() == "cgroup"
    cgroup = frozen.cgroup
    assert cgroup is not None
    frozen.end()
    assert process.wait() == -signal.SIGKILL
    assert not cgroup.exists()


@pytest.mark.parametrize("said", ["0::/../elsewhere\n", "4:memory:/x\n"])
def test_a_cgroup_that_is_not_in_sight_is_none(tmp_path: Path, above: Path, said: str) -> None:
    (tmp_path / "cgroup").write_text(said)
    assert freezer.hierarchy(tmp_path / "cgroups", tmp_path) is None


def test_where_nothing_can_be_mounted_there_is_no_hierarchy() -> None:
    assert freezer.hierarchy(Path("/proc/nowhere")) is None
