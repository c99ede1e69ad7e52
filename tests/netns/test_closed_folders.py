"""Folders that the agent has closed to root, which lacks the capability to ignore file modes in some containers."""

from __future__ import annotations

import pytest

from tests.netns.sandbox import Running

pytestmark = pytest.mark.netns

WITHOUT = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--")
LOOK = """
import json
from backend.contract.paths import Paths
from backend.session import session
from codetainer_tui import handover
print(json.dumps([str(session.folder(Paths())), handover.session_is_there(Paths())]))
"""


def test_the_session_is_found_and_can_be_restarted(sandbox: Running) -> None:
    python = "/opt/codetainer/venv/bin/python3"
    closed = ("/workspace", "/run/codetainer/tmux")
    assert sandbox.agent("chmod", "0", "/workspace").returncode == 0
    assert sandbox.agent("chmod", "0700", closed[1]).returncode == 0
    try:
        assert sandbox.root(*WITHOUT, "ls", closed[0]).returncode != 0
        done = sandbox.root(*WITHOUT, python, "-I", "-c", LOOK)
        assert done.stdout == '["/workspace", true]\n', done.stderr
    finally:
        sandbox.agent("chmod", "0755", *closed)
