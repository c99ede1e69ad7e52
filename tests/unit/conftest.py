"""Unit tests are fast because they start nothing: one that starts a process fails, and says which."""

import sys
from collections.abc import Iterator

import pytest

STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system"}
_watching: list[str] = []  # the running unit test; an audit hook can be added and never removed


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if _watching and event in STARTS:
        raise AssertionError(f"a unit test starts a process: {event} {arguments[:2]!r}; tests/netns is the place for that")


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def starts_no_process(request: pytest.FixtureRequest) -> Iterator[None]:
    _watching.append(request.node.nodeid)
    yield
    _watching.clear()
