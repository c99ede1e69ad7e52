"""Shared by all tests: skips on unsuitable machines, journals in failure reports, the image, and scheduling across workers."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Generator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from backend.sandbox import check
from tests.image import engine
from tests.netns.sandbox import STARTED

# Child processes inherit ignored signals: SIGHUP under nohup, SIGINT behind a script's &.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

JOURNAL_LINES = 40  # in a failure report

# A worker takes a whole part at a time, because its tests share a sandbox: a file, or a file's tests in the image. The longest
# parts (`--durations=0` shows them) go first, so that no worker runs one alone at the end. Tests in the image go late, because
# the image is built in the meantime.
EARLY = (
    "watchdog", "leaving", "claude_questions", "claude", "resilience", "repositories", "up", "ssh", "work_damage",
    "work_large", "sshd", "login", "control", "work_saves", "frozen", "exhaustion", "room", "up_nat", "up_parts", "root_git",
    "names",
)  # fmt: skip
LATE = ("tests/unit/", "tests/image/test_contents.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips tests that need root or a missing tool, with the reason. Skips nothing in CI."""
    if os.environ.get("CI") != "true":
        requirements = "; ".join(f"{missing.name}: {missing.problem}" for missing in check.missing(check.requirements()))
        tools = engine.problem()
        for item in items:
            reason = tools if item.get_closest_marker("image") else requirements if "tests/netns" in str(item.path) else ""
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _turn(_part(item.nodeid)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Parts:
    return Parts(config, log)


class Parts(LoadScopeScheduling):  # type: ignore[misc]
    """Schedules parts in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return _part(nodeid)


def _part(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return f"{file} in the image" if nodeid.endswith(("[image]", "-image]")) else file


def _turn(part: str) -> tuple[int, int]:
    """The sort key of a part. Parts with equal keys keep their order."""
    for turn, name in enumerate(EARLY):
        if part == f"tests/netns/test_{name}.py":
            return 0, turn
    if part.startswith(LATE):
        return 3, 0
    return (2 if "image" in part else 1), 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the last journal lines of this worker's sandboxes to a failure report."""
    report = yield
    if report.failed:
        for sandbox in STARTED[-3:]:
            with contextlib.suppress(OSError):  # the sandbox has stopped
                last = sandbox.paths.journal.read_text(errors="replace").splitlines()[-JOURNAL_LINES:]
                report.sections.append((f"Journal of {sandbox.name}, last lines", "\n".join(line[:400] for line in last)))
    return report


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> str:
    """The image's tag. Builds the image once for all workers of a run."""
    workerinput: dict[str, str] = getattr(request.config, "workerinput", {})
    return engine.image(workerinput.get("testrunuid", ""))
