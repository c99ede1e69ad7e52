"""The status line, for which Claude Code waits again and again."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.hooks import statusline
from tests.bench.rows import Row, measures

RUNS = 25
SHELL = Path(__file__).with_name("inside") / "statusline.sh"
JOURNAL = Path(__file__).parents[1] / "journals/recorded/attacked.jsonl"
INPUT = {
    "session_id": "0b7c", "model": {"display_name": "Opus 4.6"}, "workspace": {"current_dir": "/nonexistent"},
    "context_window": {"used_percentage": 42.0}, "cost": {"total_cost_usd": 1.2},
}  # fmt: skip


@measures("statusline")
def status_line() -> Iterator[Row]:
    """Measures from the program's start to its line, with a journal of an attack; yardstick: the same in shell and jq."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "session.json"
        ours = ["/usr/bin/python3", "-I", "-S", str(Path(statusline.__file__)), str(report), str(JOURNAL)]
        theirs = ["bash", str(SHELL), folder, str(JOURNAL)]
        value, beside = _median(ours), _median(theirs)
    yield Row("statusline", value, "ms", most=beside / 2, yardstick="shell and jq", beside=beside)


def _median(argv: Sequence[str]) -> float:
    """Returns the median duration in milliseconds."""
    taken = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        done = subprocess.run(argv, input=json.dumps(INPUT).encode(), capture_output=True, check=True)
        taken.append((time.perf_counter() - begun) * 1000)
        assert "Opus 4.6" in done.stdout.decode()
    return statistics.median(taken)
