"""One init at a time: who comes second is told, and the agent can hold neither lock."""

from pathlib import Path

import pytest

from backend.lock import Lock
from backend.system import SystemFailure


def test_who_comes_second_is_told(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(SystemFailure, match="another boot of this sandbox is running"):
        second.acquire()
    first.release()
    second.acquire()


def test_one_that_is_taken_again_is_let_go_of_at_once(tmp_path: Path) -> None:
    first = Lock(tmp_path / "lock")
    first.acquire()
    first.acquire()
    first.release()
    Lock(tmp_path / "lock").acquire()


def test_nobody_else_can_open_it(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    lock.acquire()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
