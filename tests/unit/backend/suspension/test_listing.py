"""The names of the agent's files for tar."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.suspension import listing, process
from backend.system import MAX_AGENT_OUTPUT


def test_what_the_agent_cannot_read_is_left_out_in_few_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tar would complain of each such folder, and its whole output is bounded."""
    folder = tmp_path / "tmp" / ("d" * 200) / ("e" * 200) / ("f" * 200)
    (folder / "closed" / "in").mkdir(parents=True)
    closed = os.fsencode(folder / "closed")
    monkeypatch.setattr(os, "access", lambda path, mode, real=os.access: path != closed and real(path, mode))
    reasons: list[str] = []
    names = list(listing.names(tmp_path, ["tmp"], reasons.append))
    assert not any(b"closed" in name for name in names)
    assert len(names) == 3
    assert len(reasons) == 1
    assert reasons[0].endswith(": the agent cannot read it")
    assert len(reasons[0]) < listing.MAX_SHOWN + 100


def test_all_reasons_fit_into_the_output_of_a_process() -> None:
    longest = len("\\U0010ffff")  # what a character takes on stderr
    assert process.MAX_NAMED * (listing.MAX_SHOWN + 100) * longest < MAX_AGENT_OUTPUT
