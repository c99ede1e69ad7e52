"""Work that is only in the sandbox: what it costs to count it, which goes on all the time."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from tests.bench.rows import Row, measures
from tests.bench.sandbox import running

FILES, TIMES = 5000, 15


@measures("work_count")
def count() -> Iterator[Row]:
    """One look at a workspace with a repository of 5000 files, the start of Python included."""
    with running() as sandbox:
        counted, status = sandbox.run("count", FILES, TIMES)
    beside = statistics.median(status)
    yield Row("work_count", statistics.median(counted), "ms", most=1000, yardstick="git status", beside=beside)
