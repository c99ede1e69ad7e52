"""What the agent's report may say: cut to size, never trusted, never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import watch
from backend.contract.events import SessionState
from backend.system import Identity


def test_a_report() -> None:
    found = watch.reported('{"state": "waits", "name": "fixing-auth", "model": "M", "context_percent": 42, "cost_usd": 1.2}')
    assert found is not None
    assert (found.state, found.name, found.context_percent, found.cost_usd) == (SessionState.WAITS, "fixing-auth", 42.0, 1.2)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '"works"'])
def test_what_is_no_report(text: str) -> None:
    assert watch.reported(text) is None


def test_what_it_claims_is_cut_to_size() -> None:
    found = watch.reported('{"state": "root", "name": "' + "x" * 5000 + '", "cost_usd": 1e300, "context_percent": "all"}')
    assert found is not None
    assert found.state is SessionState.UNKNOWN
    assert len(found.name) == 120
    assert (found.cost_usd, found.context_percent) == (-1.0, -1.0)


ME = Identity("me", os.geteuid())


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_report_is_read_or_none(body: object) -> None:
    import json

    watch.reported(json.dumps(body))


def test_a_link_or_a_pipe_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"state": "works"}')
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"x" * (1 << 20))
    assert watch.read_report(tmp_path / "link", ME) == ""
    assert watch.read_report(tmp_path / "pipe", ME) == ""
    assert watch.read_report(tmp_path / "none", ME) == ""
    assert len(watch.read_report(tmp_path / "long", ME)) == watch.REPORT_BYTES


def test_what_the_agent_does_comes_from_a_file_of_its_own() -> None:
    about = '{"model": "M", "state": "works", "since": 1}'
    found = watch.reported(about, '{"state": "waits", "since": 1000.5, "model": "other"}')
    assert found is not None
    assert (found.state, found.since, found.model) == (SessionState.WAITS, 1000.5, "M")
    alone = watch.reported("", '{"state": "idle"}')
    assert alone is not None
    assert alone.state is SessionState.IDLE
    assert watch.reported("", "[]") is None
