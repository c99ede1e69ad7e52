"""Cgroups that killed sandboxes have left: a later boot removes the empty ones, and no other."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from backend.agent import cgroups
from backend.agent.cgroups import Hierarchy
from tests.netns.sandbox import eventually
from tests.netns.test_freezer import counting, within

pytestmark = pytest.mark.netns

__all__ = ["counting", "within"]

KEEPS = """
import sys, time
from pathlib import Path
from backend.agent.cgroups import Cgroup, Hierarchy, V1, V2
cgroup = Cgroup(Hierarchy(Path(sys.argv[1]), V1 if sys.argv[2] == "cgroup" else V2))
print(cgroup.folder, flush=True)
sys.stdin.read()
"""


def keeper(within: Hierarchy) -> tuple[subprocess.Popen[str], Path]:
    """Another sandbox's supervisor, with its cgroup."""
    process = subprocess.Popen(
        [sys.executable, "-c", KEEPS, str(within.above), within.version.kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_later_boot_removes_what_a_killed_sandbox_has_left(
    counting: tuple[subprocess.Popen[bytes], Path], within: Hierarchy, tmp_path: Path
) -> None:
    killed, left = keeper(within)
    alive, kept = keeper(within)
    frozen, populated = keeper(within)
    try:
        for process in (killed, frozen):
            process.kill()
            process.wait()
        (populated / "cgroup.procs").write_text(str(counting[0].pid))
        assert left.is_dir()
        assert cgroups.hierarchy(tmp_path / "cgroups", versions=(within.version,)) == within
        assert [folder.is_dir() for folder in (left, kept, populated)] == [False, True, True]
    finally:
        for process in (killed, alive, frozen):
            process.kill()
            process.wait()
        (within.above / "cgroup.procs").write_text(str(counting[0].pid))

    def removed() -> bool:
        cgroups.remove_leftovers(within)
        return not kept.exists() and not populated.exists()

    eventually("both are removed, as soon as the shell's children in one of them have ended", removed)


def test_a_cgroup_that_another_boot_removes_before_it_is_locked_is_made_again(
    within: Hierarchy, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = tempfile.mkdtemp, list[str]()

    def mkdtemp(*, prefix: str, dir: Path) -> str:  # noqa: A002 (its name in the standard library)
        made.append(make(prefix=prefix, dir=dir))
        if len(made) == 1:
            cgroups.remove_leftovers(within)
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    cgroup = cgroups.Cgroup(within)
    assert [Path(folder).is_dir() for folder in made] == [False, True]
    cgroup.discard()
    assert not cgroup.folder.exists()
