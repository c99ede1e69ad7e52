"""A dashboard on a terminal that changes its size."""

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import libtmux
import pytest

from tests.netns.sandbox import eventually
from tests.netns.test_front_ends import DASHBOARD

pytestmark = pytest.mark.netns


# pytest imports readline, which sets the first two in the C environment without Python's knowledge (rl_change_environment).
COMMAND = shlex.join(["env", "-u", "COLUMNS", "-u", "LINES", "-u", "NO_COLOR", *DASHBOARD])


@pytest.fixture
def own_tmux(tmp_path: Path) -> Iterator[libtmux.Server]:
    """A separate tmux server, whose panes serve as terminals that tests can read."""
    with libtmux.Server(socket_path=tmp_path / "tmux", config_file=os.devnull) as server:
        yield server


def test_ten_size_changes_a_second_give_the_same_screen_as_one(own_tmux: libtmux.Server) -> None:
    def begin(width: int, height: int) -> libtmux.Pane:
        session = own_tmux.new_session(f"{width}x{height}", x=width, y=height, window_command=COMMAND)
        session.set_option("window-size", "manual")
        return session.windows[0].panes[0]

    new, moved = begin(80, 24), begin(120, 40)
    eventually("both are drawn", lambda: all("quit" in "\n".join(pane.capture_pane()) for pane in (new, moved)))
    assert moved.capture_pane() != new.capture_pane()
    window = moved.window
    for step in range(30):
        width, height = ((40, 12), (28, 4), (200, 60), (60, 20), (120, 40))[step % 5]
        window.resize(width=width, height=height)
        time.sleep(0.1)  # ten a second, as when a user drags a window's corner
    window.resize(width=80, height=24)
    with contextlib.suppress(AssertionError):
        eventually("it is as the other", lambda: moved.capture_pane() == new.capture_pane())
    assert moved.capture_pane() == new.capture_pane()  # shows the differences
