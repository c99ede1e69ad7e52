"""Makes a unit test fail if it starts a process: unit tests must be fast."""

import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# An example's duration depends on the machine's load, not on the tested code.
settings.register_profile("untimed", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("untimed")

STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system"}
_watching: list[str] = []  # the running unit test; empty between tests, because an audit hook cannot be removed


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if _watching and event in STARTS:
        raise AssertionError(f"a unit test starts a process: {event} {arguments[:2]!r}; move the test to tests/netns")


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def starts_no_process(request: pytest.FixtureRequest) -> Iterator[None]:
    _watching.append(request.node.nodeid)
    yield
    _watching.clear()
