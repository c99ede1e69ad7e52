"""Every file system that we mount in memory bounds its inodes."""

import re
from pathlib import Path

import pytest

from backend import tmpfs

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (512 << 20, "size=536870912,nr_inodes=131072"),
        (1 << 30, "size=1073741824,nr_inodes=262144"),
        (1 << 20, "size=1048576,nr_inodes=1024"),
    ],
)
def test_limits(size: int, options: str) -> None:
    assert tmpfs.limits(size) == options


def test_usage_of_a_file_system(tmp_path: Path) -> None:
    usage = tmpfs.usage(tmp_path)
    assert 0 <= usage.used <= usage.size
    assert 0 <= usage.inodes <= max(usage.inodes, usage.inode_limit)


def test_no_tmpfs_is_mounted_without_limits() -> None:
    """mount(2) and mount(8) are called with options from `limits`, or with a variable that has them."""
    calls = [
        (path, match[0])
        for path in sorted((ROOT / "backend").rglob("*.py"))
        for match in re.finditer(r"\bmount\(\s*\"tmpfs\".*", path.read_text())
    ]
    assert len(calls) >= 8
    assert [(path.name, call) for path, call in calls if "limits(" not in call and "options=options" not in call] == []
