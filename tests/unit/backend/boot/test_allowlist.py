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
from backend.settings.values import GateMode
from network.telemetry import Telemetry
from tests.unit.backend.supervision.parts import Parts


def booting(root: Path, text: str, extra: str = "", *entries: str, gate: GateMode = GateMode.ON) -> tuple[Boot, list[object]]:
    """Returns a boot that has reached the allowlist step, and the list of lines and events that the step reports."""
    paths, reported = Paths(root), list[object]()
    paths.domains.parent.mkdir(parents=True)
    paths.domains.write_text(text)
    boot = SimpleNamespace(
        paths=paths,
        settings=SimpleNamespace(extra_domains=extra, telemetry=Telemetry(entries=entries), gate=gate),
        policy=Policy(settings.load({"GH_PAT": "x", "ANTHROPIC_API_KEY": "x"}), cast("Services", Parts())),
        say=lambda step, line: reported.append(line),
        emit=reported.append,
    )
    return cast(Boot, boot), reported


async def test_the_allowlist_joins_the_file_the_additions_and_telemetry(tmp_path: Path) -> None:
    boot, reported = booting(tmp_path, "a.example\n", "b.example", "otel.example:443")
    assert await allowlist.run(boot) == "3 names"
    names = ("a.example", "b.example", "otel.example")
    assert reported == [ListRead(names, unlimited=("a.example", "b.example", "otel.example:443"))]
    assert [entry.name for entry in boot.policy.listed.entries] == ["a.example", "b.example", "otel.example"]


async def test_entries_that_grant_any_request_are_reported(tmp_path: Path) -> None:
    """At github.com the rules for the credential decide. An addition that widens a shipped entry is worth a warning."""
    text = "github.com read\na.example read\nb.example\nc.example read\n"
    boot, reported = booting(tmp_path, text, "c.example d.example open")
    await allowlist.run(boot)
    *warnings, event = sorted(reported, key=lambda one: isinstance(one, ListRead))
    assert isinstance(event, ListRead)
    assert (event.limited, event.unlimited) == (2, ("b.example", "c.example", "d.example"))
    assert len(warnings) == 1
    assert "c.example (CODETAINER_EXTRA_DOMAINS:1) also grants any request" in str(warnings[0])


async def test_without_the_gate_the_operator_is_told_that_nothing_limits_requests(tmp_path: Path) -> None:
    boot, reported = booting(tmp_path, "a.example read\n", gate=GateMode.OFF)
    await allowlist.run(boot)
    assert any("nothing limits the requests" in str(line) for line in reported)


async def test_invalid_lines_halt_boot_and_are_all_reported(tmp_path: Path) -> None:
    boot, reported = booting(tmp_path, "a.example\nhttps://x.test\n10.0.0.0/8\n")
    with pytest.raises(StepFailed, match="2 lines of the allowlist are invalid"):
        await allowlist.run(boot)
    assert [str(line).partition(": ")[0] for line in reported] == ["domains.conf:2:1", "domains.conf:3:1"]
    assert boot.policy.listed.entries == ()


async def test_the_event_has_only_the_first_names_of_a_long_allowlist(tmp_path: Path) -> None:
    boot, reported = booting(tmp_path, "".join(f"n{number}.example\n" for number in range(allowlist.MAX_REPORTED + 9)))
    await allowlist.run(boot)
    (event,) = reported
    assert isinstance(event, ListRead)
    assert (len(event.names), event.more) == (allowlist.MAX_REPORTED, 9)


async def test_a_missing_allowlist_halts_boot(tmp_path: Path) -> None:
    boot, _ = booting(tmp_path, "")
    boot.paths.domains.unlink()
    with pytest.raises(StepFailed, match="cannot read the allowlist"):
        await allowlist.run(boot)
