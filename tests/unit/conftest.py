"""Unit tests are fast because they start nothing: one that starts a process fails, and says which."""

import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes depends on what else the machine does, and says nothing of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("untimed")

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
