"""Only one boot at a time: a second one gets an error, and the agent can hold neither lock."""

import errno
import fcntl
import os
import threading
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


def test_it_is_waited_for(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire()
    release = threading.Timer(0.01, first.release)
    release.start()
    second.acquire(60.0)
    with pytest.raises(SystemFailure, match="another boot"):
        first.acquire()
    release.join()


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_lock_that_cannot_exist_is_reported_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lock"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SystemFailure, match=f"cannot lock {path}: "):
        Lock(path).acquire(3600.0)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_refuses_locks_is_reported_at_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no marker file takes the place of the lock."""

    def refuses(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuses)
    with pytest.raises(SystemFailure, match=r"cannot lock .*: "):
        Lock(tmp_path / "lock").acquire(3600.0)
