"""`make lint` and `make unit` in a clone that belongs to somebody else: nothing can be written there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")


@pytest.fixture
def clone() -> Iterator[Path]:
    """As much of a clone of root's as is looked at first; under /tmp, since nobody else may enter pytest's own folders."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        made = Path(folder)
        made.chmod(0o755)
        shutil.copytree(ROOT / ".ci", made / ".ci")
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, made / name)
        yield made


def run(clone: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=clone, capture_output=True, text=True, timeout=60, check=False)


def test_what_has_to_be_written_is_said_with_whose_it_is(clone: Path) -> None:
    done = run(clone, *NOBODY, ".ci/setup", "venv")
    assert done.returncode == 1
    assert f"setup: cannot write into {clone}: it belongs to root" in done.stderr
    assert "hint: let root run make setup, or work in a clone of your own" in done.stderr


def test_where_nothing_may_be_left_out_nothing_is(clone: Path) -> None:
    """Without root the tests in namespaces cannot be run; in CI that is a failure, and said before anything is done."""
    done = run(clone, *NOBODY, "env", "CI=true", ".ci/run")
    assert (done.returncode, done.stdout) == (1, "")
    assert "with CI=true no test may be left out" in done.stderr


def test_a_part_that_setup_does_not_know_is_an_error(clone: Path) -> None:
    done = run(clone, ".ci/setup", "nonsense")
    assert done.returncode == 1
    assert "setup: cannot set up nonsense: expected packages" in done.stderr


@pytest.mark.parametrize(("before", "cached"), [(NOBODY, False), ((), True)])
def test_nothing_is_cached_there(clone: Path, before: tuple[str, ...], cached: bool) -> None:
    done = run(clone, *before, "make", "--eval", "shown:;@env; echo imports $(NO_CACHE)", "shown")
    assert ("RUFF_NO_CACHE=true" in done.stdout) is not cached
    assert ("MYPY_CACHE_DIR=/dev/null" in done.stdout) is not cached
    assert ("imports --no-cache" in done.stdout) is not cached
