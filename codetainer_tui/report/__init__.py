"""`codetainer report`: what happened, as text, JSON or an HTML page."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from backend.contract.control import Notify
from backend.contract.paths import Paths
from backend.contract.state import State, fold_all
from backend.contract.verbs import wrong
from codetainer_tui.ask import NONE_HERE, NONE_HERE_HINT, ask, supervised, tell
from codetainer_tui.journal import follow
from codetainer_tui.report.content import report, text
from codetainer_tui.report.page import page

MAX_SENT = 8000  # characters; a notification contains fewer
Since = Callable[[float], float]  # the beginning of the period, for a report made at a given time


def run(
    paths: Paths,
    *,
    journal: Path | None,
    since: Since | None,
    task: Path | None,
    html: Path | None,
    as_json: bool,
    notify: bool = False,
) -> int:
    """Prints the report, writes it as HTML to `html`, or sends it as a notification.

    Exit code 1: it could not be written or delivered; 2: no journal or task.

    Without `since` it covers the whole record. `journal` is that of another sandbox, `task` the file with its prompt.
    """
    state = fold_all(follow(journal or paths.journal, going_on=lambda: False))
    if state.boot is None:
        if journal is None:
            sys.stderr.write(wrong(NONE_HERE, NONE_HERE_HINT))
        else:
            problem = f"cannot report on {journal}: there is no journal in it"
            sys.stderr.write(wrong(problem, "Pass a copy of events.jsonl, or a file written by codetainer logs --json."))
        return 2
    try:
        words = _task(state, task)
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        sys.stderr.write(
            wrong(f"cannot use {task} as the task: {reason}", "Pass the file that CLAUDE_PROMPT_FILE named at boot.")
        )
        return 2
    runs = journal is None and supervised(paths.control)
    now = time.time() if journal is None else state.updated_at
    made = report(state, now, since=since(now) if since else 0.0, task=words, supervised=runs or journal is not None)
    if html is not None:
        return _write(html, page(made))
    if notify:
        return tell(ask(paths.control, Notify(report=text(made)[:MAX_SENT])))
    sys.stdout.write(json.dumps(dataclasses.asdict(made), indent=2) + "\n" if as_json else text(made))
    return 0


def _task(state: State, task: Path | None) -> str:
    """The task's text. Raises ValueError if the file does not have the task that the journal names."""
    if task is None:
        return ""
    data = task.read_bytes()
    sums = {hashlib.sha256(form).hexdigest() for form in (data, data.rstrip(b"\n"), data.strip())}
    if state.prompt_sha256 and state.prompt_sha256 not in sums:
        raise ValueError(f"its SHA-256 is not that of the task given at boot ({state.prompt_sha256[:12]}...)")
    return data.decode(errors="replace")


def _write(path: Path, content: str) -> int:
    """Writes the page under another name, then renames it: no half of it replaces an older one. Only the owner may read it."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.touch(0o600, exist_ok=False)
        new.write_text(content)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        sys.stderr.write(wrong(f"cannot write {path}: {error.strerror or error}", "Pass another path with --html."))
        return 1
    sys.stderr.write(f"codetainer: wrote {path}\n")
    return 0
