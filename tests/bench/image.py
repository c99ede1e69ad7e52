"""The image: its size, the time from the engine's start until the session runs, and the duration of a login."""

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
    """A booted container with the needed capabilities only and a read-only root."""
    engine.image()
    with tempfile.TemporaryDirectory(prefix="codetainer-bench-") as folder:
        sandbox = container.start(Path(folder), name, engine_options=(*engine.LEAST, "--read-only"))
        try:
            yield sandbox
        finally:
            sandbox.stop()


@measures("image_size")
def size() -> Iterator[Row]:
    """Measures the size of all layers, unpacked."""
    bytes_ = int(engine.podman("image", "inspect", "--format", "{{.Size}}", engine.image()))
    yield Row("image_size", bytes_ / 1e6, "MB")


@measures("image_boot")
def boot() -> Iterator[Row]:
    """Measures from `podman run` until the init lock is released, in the pretend internet, with a clone."""
    seconds = []
    for number in range(BOOTS):
        with running(f"bench-boot-{number}") as sandbox:
            released: Stamped = next(stamped for stamped in sandbox.stamped() if isinstance(stamped.event, LockReleased))
            assert isinstance(released.event, LockReleased) and released.event.session, "boot did not reach a session"
            seconds.append(released.at - sandbox.started_at)
    yield Row("image_boot", statistics.median(seconds), "s", most=6)


@measures("container_login")
def login() -> Iterator[Row]:
    """Measures from `podman exec -it NAME attach-claude` until the session is on the screen; yardstick: podman exec alone."""
    with running("bench-login") as sandbox:
        socket = str(Paths().tmux_socket)
        mark = ["/usr/bin/python3", "-I", "-S", "-c", (INSIDE / "mark.py").read_text(), socket, MARK[:4], MARK[4:]]
        subprocess.run(sandbox.command(AGENT, *mark), check=True, capture_output=True)
        enter = [*engine.PODMAN, "exec", "-it", "--env", "TERM=xterm-256color", sandbox.name]
        bare = _attach(*enter, "sh", "-c", f"echo {MARK}; exec sleep 60")
        whole = _attach(*enter, "attach-claude")
    yield Row("container_login", whole, "ms", most=bare + 50, yardstick="podman exec", beside=bare)


def _attach(*argv: str) -> float:
    """Returns the median number of milliseconds until the mark appears on a terminal."""
    script = [sys.executable, "-I", str(INSIDE / "attach.py"), MARK, str(LOGINS), *argv]
    times: list[float] = json.loads(subprocess.run(script, stdout=subprocess.PIPE, check=True).stdout)
    return statistics.median(times)
