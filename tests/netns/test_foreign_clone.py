"""`make lint` and `make unit` in another user's clone, which is not writable."""

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
    """The files of a clone that the scripts read first, owned by root; in /tmp, because other users cannot enter pytest's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        made = Path(folder)
        made.chmod(0o755)
        shutil.copytree(ROOT / ".ci", made / ".ci")
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, made / name)
        yield made


def run(clone: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=clone, capture_output=True, text=True, timeout=60, check=False)


def test_an_unwritable_folder_is_reported_with_its_owner(clone: Path) -> None:
    done = run(clone, *NOBODY, ".ci/setup", "venv")
    assert done.returncode == 1
    assert f"setup: cannot write into {clone}: it belongs to root" in done.stderr
    assert "hint: let root run make setup, or work in a clone of your own" in done.stderr


def test_ci_fails_instead_of_leaving_tests_out(clone: Path) -> None:
    """Tests in namespaces need root; in CI their absence is an error, which is reported before anything runs."""
    done = run(clone, *NOBODY, "env", "CI=true", ".ci/run")
    assert (done.returncode, done.stdout) == (1, "")
    assert "with CI=true no test may be left out" in done.stderr


def test_an_unknown_part_of_setup_is_an_error(clone: Path) -> None:
    done = run(clone, ".ci/setup", "nonsense")
    assert done.returncode == 1
    assert "setup: cannot set up nonsense: expected packages" in done.stderr


@pytest.mark.parametrize(("before", "cached"), [(NOBODY, False), ((), True)])
def test_nothing_is_cached_there(clone: Path, before: tuple[str, ...], cached: bool) -> None:
    done = run(clone, *before, "make", "--eval", "shown:;@env; echo imports $(NO_CACHE)", "shown")
    assert ("RUFF_NO_CACHE=true" in done.stdout) is not cached
    assert ("MYPY_CACHE_DIR=/dev/null" in done.stdout) is not cached
    assert ("imports --no-cache" in done.stdout) is not cached
