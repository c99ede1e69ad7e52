"""`codetainer logs`: the journal as text or as it is."""

from __future__ import annotations

import sys

from backend.contract.events import Snapshot, encode
from backend.contract.paths import Paths
from codetainer_tui.journal import before, follow
from codetainer_tui.plain import Lines


def logs(paths: Paths, *, go_on: bool, as_json: bool) -> int:
    """Prints what there is, and with `go_on` what comes. Exit code 2 without a journal."""
    if not go_on and not paths.journal.exists():
        sys.stderr.write("codetainer: there is no journal here: no sandbox has booted\n")
        return 2
    words = Lines()
    for source in (before(paths.journal), follow(paths.journal, going_on=lambda: go_on)):
        for stamped in source:
            if isinstance(stamped.event, Snapshot):
                continue  # joins two segments, says nothing new
            for line in [encode(stamped)] if as_json else words.of(stamped):
                sys.stdout.write(line + "\n")
            if go_on:
                sys.stdout.flush()
    return 0
