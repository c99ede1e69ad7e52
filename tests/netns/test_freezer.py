"""The freezer with the real kernel: with cgroups of both versions, and with signals.

`stop_all` would reach all processes of the agent's uid in this PID namespace, so these tests stop only their own processes;
test_frozen.py tests the whole in a sandbox.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend import processes, system
from backend.agent import cgroups, freezer
from backend.agent.cgroups import V1, V2, Hierarchy
from backend.agent.freezer import Freezer
from tests.netns.headless import headless
from tests.netns.sandbox import eventually

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


@pytest.fixture(params=[V2, V1], ids=["v2", "v1"])
def within(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Hierarchy]:
    place = tmp_path / "cgroups"
    hierarchy = cgroups.hierarchy(place, versions=(request.param,))
    if hierarchy is None:
        there = request.param is V2 or "\nfreezer\t" in Path("/proc/cgroups").read_text()
        assert not (there and os.environ.get("CI")), "no hierarchy of cgroups can be mounted"
        pytest.skip(f"no hierarchy of {request.param.kind} can be mounted")
    yield hierarchy
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


def test_a_process_frozen_by_a_cgroup_does_not_run_whatever_signal_it_gets(
    counting: tuple[subprocess.Popen[bytes], Path], within: Hierarchy
) -> None:
    process, place = counting
    frozen = Freezer(lambda: [process.pid], within, stops(process.pid))
    assert frozen.freeze() == "cgroup"
    assert frozen.cgroup is not None
    cgroup = frozen.cgroup.folder
    assert cgroup.parent == within.above
    try:
        process.send_signal(signal.SIGCONT)
        assert not changes(place, 10)
        assert frozen.freeze() == "cgroup"
    finally:
        frozen.thaw()
    assert changes(place, 500)
    assert not cgroup.exists()


def test_a_thaw_without_effect_is_reported(
    counting: tuple[subprocess.Popen[bytes], Path], within: Hierarchy, tmp_path: Path
) -> None:
    """The hierarchy was unmounted. The freezer keeps its state, so the next thaw works."""
    process, place = counting
    frozen = Freezer(lambda: [process.pid], within, stops(process.pid))
    frozen.freeze()
    system.run(["umount", "--lazy", str(tmp_path / "cgroups")])  # its cgroup is still open
    try:
        with pytest.raises(system.SystemFailure, match="cannot thaw the agent's cgroup, the agent stays stopped"):
            frozen.thaw()
        assert not changes(place, 10)
    finally:
        assert cgroups.hierarchy(tmp_path / "cgroups", versions=(within.version,)) is not None
        frozen.thaw()
    assert changes(place, 500)


def test_signals_stop_and_continue(counting: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, place = counting
    frozen = Freezer(lambda: [process.pid], None, stops(process.pid))
    assert frozen.freeze() == "signals"
    assert not changes(place, 10)
    frozen.thaw()
    assert changes(place, 500)


def test_a_process_that_does_not_stop_is_reported(
    counting: tuple[subprocess.Popen[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, _ = counting
    monkeypatch.setattr(freezer, "FREEZE_SECONDS", 0.0)
    with pytest.raises(system.SystemFailure, match=f"cannot stop 1 of the agent's processes, for example pid {process.pid}"):
        Freezer(lambda: [process.pid], None, stops()).freeze()


def test_a_thaw_does_not_continue_a_process_that_stopped_itself(
    counting: tuple[subprocess.Popen[bytes], Path], within: Hierarchy
) -> None:
    process, place = counting
    process.send_signal(signal.SIGSTOP)
    frozen = Freezer(lambda: [process.pid], within, stops(process.pid))
    frozen.freeze()
    frozen.thaw()
    assert not changes(place, 10)


def test_signals_are_used_if_the_cgroup_cannot_be_created(counting: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, place = counting
    frozen = Freezer(lambda: [process.pid], Hierarchy(Path("/proc/1"), V2), stops(process.pid))
    assert frozen.freeze() == "signals"
    assert not changes(place, 5)
    frozen.thaw()


def test_the_end_leaves_no_cgroup(counting: tuple[subprocess.Popen[bytes], Path], within: Hierarchy) -> None:
    process, _ = counting
    frozen = Freezer(lambda: [process.pid], within, stops(process.pid))
    assert frozen.freeze() == "cgroup"
    assert frozen.cgroup is not None
    cgroup = frozen.cgroup.folder
    frozen.end()
    assert process.wait(timeout=30) == -signal.SIGKILL
    assert not cgroup.exists()


@pytest.mark.parametrize("content", ["0::/../elsewhere\n1:freezer:/../elsewhere\n", "4:memory:/x\n"])
def test_a_cgroup_outside_the_namespace_is_not_used(tmp_path: Path, content: str) -> None:
    (tmp_path / "cgroup").write_text(content)
    place = tmp_path / "cgroups"
    assert cgroups.hierarchy(place, tmp_path) is None
    assert not place.is_mount()


def test_without_the_right_to_mount_there_is_no_hierarchy() -> None:
    assert cgroups.hierarchy(Path("/proc/nowhere")) is None


@pytest.mark.parametrize("within", [V1], indirect=True, ids=["v1"])
def test_version_1_is_used_if_version_2_cannot_freeze(tmp_path: Path, within: Hierarchy) -> None:
    place = tmp_path / "others"
    unable = dataclasses.replace(V2, switch="cgroup.none")  # as before Linux 5.2
    hierarchy = cgroups.hierarchy(place, versions=(unable, V1))
    assert hierarchy == Hierarchy(place / within.above.relative_to(tmp_path / "cgroups"), V1)
    system.run(["umount", str(place)])


# --- a process whose main thread has ended (it looks like a zombie) while another one works ---


def test_a_process_without_its_main_thread_is_frozen_and_thawed(tmp_path: Path, within: Hierarchy) -> None:
    place = tmp_path / "works"
    with headless(place) as process:
        frozen = Freezer(lambda: [process.pid], within, stops(process.pid))
        assert frozen.freeze() == "cgroup"
        assert frozen.cgroup is not None
        cgroup = frozen.cgroup.folder
        try:
            process.send_signal(signal.SIGCONT)
            assert not changes(place, 10)
            assert frozen.freeze() == "cgroup"
            assert not changes(place, 10)
        finally:
            frozen.thaw()
        assert changes(place, 500)
        assert not cgroup.exists()


def test_a_process_without_its_main_thread_is_stopped_by_signals(tmp_path: Path) -> None:
    place = tmp_path / "works"
    with headless(place) as process:
        frozen = Freezer(lambda: [process.pid], None, stops(process.pid))
        assert frozen.freeze() == "signals"
        assert not changes(place, 10)
        frozen.thaw()
        assert changes(place, 500)


def test_a_process_without_its_main_thread_that_does_not_stop_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezer, "FREEZE_SECONDS", 0.0)
    with (
        headless(tmp_path / "works") as process,
        pytest.raises(system.SystemFailure, match=f"cannot stop 1 of the agent's processes, for example pid {process.pid}"),
    ):
        Freezer(lambda: [process.pid], None, stops()).freeze()


def test_a_process_without_its_main_thread_is_killed_at_the_end(tmp_path: Path, within: Hierarchy) -> None:
    with headless(tmp_path / "works") as process:
        frozen = Freezer(lambda: [process.pid], within, stops(process.pid))
        assert frozen.freeze() == "cgroup"
        assert frozen.cgroup is not None
        cgroup = frozen.cgroup.folder
        frozen.end()
        assert process.wait(timeout=30) == -signal.SIGKILL
        assert not cgroup.exists()


def test_a_zombie_does_not_block_the_freezer(tmp_path: Path, within: Hierarchy) -> None:
    """Its parent has not reaped it yet. The parent may be the agent's and never do so."""
    zombie = subprocess.Popen(["true"])
    eventually("it has ended", lambda: processes.ended(zombie.pid))
    with headless(tmp_path / "works") as process:
        frozen = Freezer(lambda: [zombie.pid, process.pid], within, stops(process.pid))
        assert frozen.freeze() == "cgroup"
        frozen.thaw()
        assert Freezer(lambda: [zombie.pid, process.pid], None, stops(process.pid)).freeze() == "signals"
    zombie.wait()
