"""The image: how large it is, how long from the engine's start until the session is there, and what a login into it takes."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from backend.contract.events import LockReleased, Stamped
from backend.contract.paths import Paths
from backend.system import AGENT
from tests.bench.boot import BOOTS, LOGINS, MARK
from tests.bench.rows import Row, measures
from tests.bench.sandbox import INSIDE
from tests.image import container, engine
from tests.image.container import Contained


@contextlib.contextmanager
def running(name: str) -> Iterator[Contained]:
    """A container with what it needs and no more, its root read-only, whose boot is over."""
    engine.image()
    with tempfile.TemporaryDirectory(prefix="codetainer-bench-") as folder:
        found = container.start(Path(folder), name, engine_options=(*engine.LEAST, "--read-only"))
        try:
            yield found
        finally:
            found.stop()


@measures("image_size")
def size() -> Iterator[Row]:
    """All layers, unpacked."""
    bytes_ = int(engine.podman("image", "inspect", "--format", "{{.Size}}", engine.image()))
    yield Row("image_size", bytes_ / 1e6, "MB")


@measures("image_boot")
def boot() -> Iterator[Row]:
    """From the call of `podman run` until the init lock is released, in the pretend internet, with a clone."""
    seconds = []
    for number in range(BOOTS):
        with running(f"bench-boot-{number}") as found:
            released: Stamped = next(stamped for stamped in found.stamped() if isinstance(stamped.event, LockReleased))
            assert isinstance(released.event, LockReleased) and released.event.session, "boot did not reach a session"
            seconds.append(released.at - found.started_at)
    yield Row("image_boot", statistics.median(seconds), "s", most=6)


@measures("container_login")
def login() -> Iterator[Row]:
    """From the call of `podman exec -it NAME attach-claude` until the session is on the screen, beside the engine's part."""
    with running("bench-login") as found:
        socket = str(Paths().tmux_socket)
        mark = ["/usr/bin/python3", "-I", "-S", "-c", (INSIDE / "mark.py").read_text(), socket, MARK[:4], MARK[4:]]
        subprocess.run(found.command(AGENT, *mark), check=True, capture_output=True)
        enter = [*engine.PODMAN, "exec", "-it", "--env", "TERM=xterm-256color", found.name]
        bare = _attach(*enter, "sh", "-c", f"echo {MARK}; exec sleep 60")
        whole = _attach(*enter, "attach-claude")
    yield Row("container_login", whole, "ms", most=bare + 50, yardstick="podman exec", beside=bare)


def _attach(*argv: str) -> float:
    """Milliseconds until the mark stands on a terminal; the median."""
    script = [sys.executable, "-I", str(INSIDE / "attach.py"), MARK, str(LOGINS), *argv]
    found: list[float] = json.loads(subprocess.run(script, stdout=subprocess.PIPE, check=True).stdout)
    return statistics.median(found)
