"""A dashboard on a terminal whose size changes and that can be looked at."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.netns.sandbox import PATIENCE, eventually
from tests.netns.test_front_ends import DASHBOARD

pytestmark = pytest.mark.netns


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A terminal that can be looked at: a tmux of its own."""

    def run(*command: str) -> str:
        argv = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null", *command]
        environment = {key: value for key, value in os.environ.items() if key not in ("TMUX", "NO_COLOR")}
        return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False).stdout

    yield run
    run("kill-server")


def test_sizes_that_change_ten_times_a_second_end_as_if_there_had_been_one(tmux: Callable[..., str]) -> None:
    command = shlex.join(DASHBOARD)
    for name, (width, height) in {"new": (80, 24), "moved": (120, 40)}.items():
        tmux("new-session", "-d", "-s", name, "-x", str(width), "-y", str(height), command)
        tmux("set-option", "-t", name, "window-size", "manual")

    def shown(name: str) -> str:
        return tmux("capture-pane", "-p", "-t", name)

    eventually("both are drawn", lambda: all("quit" in shown(name) for name in ("new", "moved")))
    assert shown("moved") != shown("new")
    for step in range(30):
        width, height = ((40, 12), (28, 4), (200, 60), (60, 20), (120, 40))[step % 5]
        tmux("resize-window", "-t", "moved", "-x", str(width), "-y", str(height))
        time.sleep(0.1)  # ten a second, as somebody who drags a corner does
    tmux("resize-window", "-t", "moved", "-x", "80", "-y", "24")
    eventually("it is as the other", lambda: shown("moved") == shown("new"))
