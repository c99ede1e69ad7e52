"""Sandboxes that tests share, in namespaces or in the image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import libtmux
import pytest

from tests.image import container
from tests.netns import rootless
from tests.netns import sandbox as namespaces
from tests.netns.sandbox import Begin, Running
from tests.netns.work_room import Room


@pytest.fixture(scope="session")
def begin(request: pytest.FixtureRequest) -> Begin:
    """Starts a sandbox in namespaces or, for modules marked with `tests.netns.worlds`, also as a user or in the image.

    The variable SANDBOXES=rootless makes those of other modules a user's, too.
    """
    way = getattr(request, "param", os.environ.get("SANDBOXES", "namespaces"))
    if way == "namespaces":
        return namespaces.start
    if way == "rootless":
        who: rootless.User = request.getfixturevalue("user")
        return who.start
    request.getfixturevalue("image")
    return container.start


@pytest.fixture(scope="session")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rootless.User]:
    """An ordinary user of this machine, for the life of the test run."""
    with rootless.user(base=tmp_path_factory.getbasetemp()) as who:
        yield who


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """The test's folder, made accessible to every uid together with our folders above it (pytest-xdist adds one)."""
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == os.geteuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o011)
    return tmp_path


@pytest.fixture
def tmux(sandbox: Running) -> libtmux.Server:
    """The tmux server of the module's sandbox."""
    return sandbox.tmux


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, begin: Begin) -> Iterator[Running]:
    """One sandbox for all tests of a module."""
    running = begin(tmp_path_factory.mktemp("sandbox"), f"{request.module.__name__.rpartition('.')[2]}-{os.getpid()}")
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="session")
def empty_room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a room without a clone, to copy."""
    return Room(tmp_path_factory.mktemp("room")).folder


@pytest.fixture
def room(empty_room: Path, tmp_path: Path) -> Room:
    return Room(tmp_path, empty_room)
