from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from backend import settings
from backend.boot.plan import StepFailed
from backend.boot.steps import allowlist
from backend.context import Boot
from backend.contract.events import ListRead
from backend.contract.paths import Paths
from backend.policy import Policy
from backend.services.bundle import Services
from network.telemetry import Telemetry
from tests.unit.backend.supervision.parts import Parts


def booting(root: Path, text: str, extra: str = "", *entries: str) -> tuple[Boot, list[object]]:
    """A boot that has come as far as the list, and what its step says: lines and events."""
    paths, said = Paths(root), list[object]()
    paths.domains.parent.mkdir(parents=True)
    paths.domains.write_text(text)
    boot = SimpleNamespace(
        paths=paths,
        settings=SimpleNamespace(extra_domains=extra, telemetry=Telemetry(entries=entries)),
        policy=Policy(settings.load({"GH_PAT": "x", "ANTHROPIC_API_KEY": "x"}), cast("Services", Parts())),
        say=lambda step, line: said.append(line),
        emit=said.append,
    )
    return cast(Boot, boot), said


async def test_the_list_is_the_file_what_was_added_and_telemetry(tmp_path: Path) -> None:
    boot, said = booting(tmp_path, "a.example\n", "b.example", "otel.example:443")
    assert await allowlist.run(boot) == "3 names"
    assert said == [ListRead(("a.example", "b.example", "otel.example"))]
    assert [entry.name for entry in boot.policy.listed.entries] == ["a.example", "b.example", "otel.example"]


async def test_a_list_with_bad_lines_halts_and_each_is_said(tmp_path: Path) -> None:
    boot, said = booting(tmp_path, "a.example\nhttps://x.test\n10.0.0.0/8\n")
    with pytest.raises(StepFailed, match="2 lines of the list cannot be read"):
        await allowlist.run(boot)
    assert [str(line).partition(": ")[0] for line in said] == ["domains.conf:2:1", "domains.conf:3:1"]
    assert boot.policy.listed.entries == ()


async def test_of_a_very_long_list_the_first_names_are_said(tmp_path: Path) -> None:
    boot, said = booting(tmp_path, "".join(f"n{number}.example\n" for number in range(allowlist.MAX_SAID + 9)))
    await allowlist.run(boot)
    (event,) = said
    assert isinstance(event, ListRead)
    assert (len(event.names), event.more) == (allowlist.MAX_SAID, 9)


async def test_a_list_that_is_not_there_halts(tmp_path: Path) -> None:
    boot, _ = booting(tmp_path, "")
    boot.paths.domains.unlink()
    with pytest.raises(StepFailed, match="cannot read the list"):
        await allowlist.run(boot)
