"""The firewall step: what it reads of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.boot.steps.rules import flows
from backend.contract.paths import Paths
from network import ruleset


@pytest.mark.parametrize(("text", "found"), [("262144\n", 262144), ("", ruleset.FLOWS), (None, ruleset.FLOWS)])
def test_how_many_flows_the_kernel_remembers(tmp_path: Path, text: str | None, found: int) -> None:
    if text is not None:
        (tmp_path / "proc/sys/net/netfilter").mkdir(parents=True)
        (tmp_path / "proc/sys/net/netfilter/nf_conntrack_max").write_text(text)
    assert flows(Paths(tmp_path)) == found
