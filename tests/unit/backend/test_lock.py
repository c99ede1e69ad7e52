"""Only one boot at a time: a second one gets an error, and the agent can hold neither lock."""

from pathlib import Path

import pytest

from backend.lock import Lock
from backend.system import SystemFailure


def test_a_second_boot_gets_an_error(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(SystemFailure, match="another boot of this sandbox is running"):
        second.acquire()
    first.release()
    second.acquire()


def test_a_lock_acquired_twice_is_released_at_once(tmp_path: Path) -> None:
    first = Lock(tmp_path / "lock")
    first.acquire()
    first.acquire()
    first.release()
    Lock(tmp_path / "lock").acquire()


def test_only_root_can_open_it(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    lock.acquire()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
