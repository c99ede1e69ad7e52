"""The cost of counting unsaved work, which a sandbox does all the time."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from tests.bench.rows import Row, measures
from tests.bench.sandbox import running

FILES, TIMES = 5000, 15


@measures("work_count")
def count() -> Iterator[Row]:
    """Counts the work in a repository of 5,000 files, including the start of Python; yardstick: git status."""
    with running() as sandbox:
        counted, status = sandbox.run("count", FILES, TIMES)
    beside = statistics.median(status)
    yield Row("work_count", statistics.median(counted), "ms", most=1000, yardstick="git status", beside=beside)
