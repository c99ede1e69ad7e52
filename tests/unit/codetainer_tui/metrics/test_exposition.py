"""The exposition as an independent parser reads it, and the metrics that dashboards and alerts use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from backend.contract import events as e
from codetainer_tui.metrics import exposition
from codetainer_tui.metrics.tally import Tally
from tests.journals.counted import tally

DEPLOY = Path(__file__).parents[4] / "docs/deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
BOARD = json.loads((DEPLOY / "grafana/codetainer.json").read_text())


def samples(found: Tally) -> dict[str, list[tuple[dict[str, str], float]]]:
    by_name: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in parse(exposition.text(found).decode()):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            by_name.setdefault(sample.name, []).append((sample.labels, sample.value))
    return by_name


FOUND = samples(tally())


def value(sample: str, /, **labels: str) -> float:
    (found,) = (number for has, number in FOUND[sample] if labels.items() <= has.items())
    return found


@pytest.mark.parametrize(
    ("sample", "labels", "expected"),
    [
        ("sandbox_info", {"version": "0.1.0", "repository": "octo/repo", "credentials": "outside", "gate": "on"}, 1),
        ("condition", {"codetainer_condition": "degraded"}, 1),  # the gate is starting
        ("condition", {"codetainer_condition": "ready"}, 0),
        ("frozen", {}, 0),
        ("protection_failed", {}, 0),
        ("journal_updated_timestamp_seconds", {}, 20),
        ("boot_started_timestamp_seconds", {}, 1),
        ("boot_seconds", {}, 4.2),
        ("boot_steps", {"outcome": "done"}, 1),
        ("boot_steps", {"outcome": "failed"}, 0),
        ("service_up", {"service": "coredns"}, 1),
        ("service_up", {"service": "gate"}, 0),
        ("service_restarts_total", {"service": "coredns"}, 0),
        ("service_restarts_total", {"service": "gate"}, 1),
        ("proof_held", {"probe": "root read-only"}, 1),
        ("proof_timestamp_seconds", {}, 9),
        ("proofs_total", {"result": "held"}, 1),
        ("refused_total", {"via": "dns", "reason": "not on the allowlist"}, 3),
        ("refused_names_total", {"name": "telemetry.example"}, 3),
        ("carried_connections_total", {"name": "api.example"}, 5),
        ("carried_bytes_total", {"name": "api.example", "direction": "in"}, 1000),
        ("carried_bytes_total", {"name": "api.example", "direction": "out"}, 300),
        ("carried_open_connections", {}, 2),
        ("dns_queries_total", {}, 100),
        ("dns_cache_hits_total", {}, 90),
        ("dns_unlisted_total", {}, 4),
        ("cookies_dropped_total", {"name": "github.com"}, 2),
        ("dns_latency_seconds", {}, 0.0015),
        ("list_names", {}, 23),
        ("list_addresses", {}, 61),
        ("list_failing_names", {}, 1),
        ("list_refreshed_timestamp_seconds", {}, 5),
        ("allowed_names", {}, 1),
        ("cpu_cores", {}, 1.5),
        ("memory_used_bytes", {}, 1 << 30),
        ("memory_limit_bytes", {}, 4 << 30),
        ("tmpfs_used_bytes", {"path": "/tmp"}, 1 << 20),
        ("tmpfs_size_bytes", {"path": "/tmp"}, 512 << 20),
        ("tmpfs_inodes", {"path": "/tmp"}, 300),
        ("journal_info", {"head": f"40-{'a' * 32}", "key": "c" * 64}, 1),
        ("tmpfs_inodes_limit", {"path": "/tmp"}, 131072),
        ("session", {"codetainer_session": "waits"}, 1),
        ("session", {"codetainer_session": "works"}, 0),
        ("session_since_timestamp_seconds", {}, 6),
        ("session_context_ratio", {}, 0.42),
        ("session_cost_dollars", {}, 1.2),
        ("unsaved_work", {"kind": "commits"}, 3),
        ("unsaved_work", {"kind": "files"}, 3),
        ("unsaved_work", {"kind": "stashes"}, 1),
        ("work_saved_timestamp_seconds", {}, 17),
        ("work_save_failing", {}, 0),
    ],
)
def test_samples_have_the_values_of_the_journal(sample: str, labels: dict[str, str], expected: float) -> None:
    assert value(f"codetainer_{sample}", **labels) == expected


def test_problems_have_samples() -> None:
    found = tally()
    events = (e.Froze(True), e.WorkSaved("wip/work", problem="no route"), e.ProofFinished(1, ("x",), "", {"x": "answered"}),
              e.SessionChanged(e.SessionState.IDLE), e.BootStarted("0.1\x1b[2J", (), "a\x1b[2J", gate=False),
              e.ProtectionFailed("x"))  # fmt: skip
    found.add(e.Stamped(float(at), at, event) for at, event in enumerate(events, 100))
    said = samples(found)
    for sample in ("frozen", "protection_failed", "work_save_failing"):
        assert said[f"codetainer_{sample}"] == [({}, 1.0)], sample
    assert said["codetainer_proof_held"] == [({"probe": "x"}, 0.0)]
    assert ({"result": "broken"}, 1.0) in said["codetainer_proofs_total"]
    assert "codetainer_session_cost_dollars" not in said  # the cost is unknown
    assert "codetainer_session_context_ratio" not in said
    ((about, _),) = said["codetainer_sandbox_info"]
    assert about["gate"] == "off"
    assert about["repository"].isprintable()
    assert about["version"].isprintable()


def test_unknown_values_have_no_samples() -> None:
    """A known 0 differs from an unknown value."""
    found = Tally()
    found.add([e.Stamped(1.0, 1, e.SessionChanged(e.SessionState.WORKS, context_percent=0.0, cost_usd=0.0))])
    assert samples(found)["codetainer_session_context_ratio"] == [({}, 0.0)]
    assert samples(found)["codetainer_session_cost_dollars"] == [({}, 0.0)]


def test_unfinished_steps_are_not_counted_as_finished() -> None:
    found = Tally()
    found.add([e.Stamped(1.0, 1, e.BootStarted("0.1.0", (e.PlannedStep("closed", "Network closed"),)))])
    assert {count for _, count in samples(found)["codetainer_boot_steps"]} == {0.0}


def test_an_empty_journal_has_an_exposition() -> None:
    found = samples(Tally())
    assert "codetainer_condition" in found
    assert exposition.text(Tally()).endswith(b"# EOF\n")


def test_every_family_has_help_and_samples() -> None:
    for family in exposition.families(tally()):
        assert family.documentation.endswith("."), family.name
        assert family.samples, family.name


def test_text_from_the_agent_stays_within_its_label() -> None:
    evil = 'a"} 1\n# EOF\nx{b="\\\x1b[2J\u202e'
    found = Tally()
    found.add([e.Stamped(1.0, 1, e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, 1, "dns", evil)),
               e.Stamped(2.0, 2, e.Carried(evil, 1, 0, 1, 1, 1.0)),
               e.Stamped(3.0, 3, e.ProofFinished(1, (), "", {evil: ""}))])  # fmt: skip
    text = exposition.text(found).decode()
    assert text.count("# EOF") == text.count("\\\\n# EOF") + 1
    assert "\x1b" not in text
    assert len(samples(found)["codetainer_refused_names_total"]) == 1


def expressions() -> list[Any]:
    rules = [pytest.param(rule["expr"], id=rule["alert"]) for group in ALERTS["groups"] for rule in group["rules"]]
    panels = [
        pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
        for panel in BOARD["panels"]
        for target in panel.get("targets", ())
    ]
    variables = [pytest.param(one["query"], id=one["name"]) for one in BOARD["templating"]["list"] if one["type"] == "query"]
    return [*rules, *panels, *variables]


@pytest.mark.parametrize("expression", expressions())
def test_alerts_and_dashboards_use_existing_metrics(expression: str) -> None:
    asked = re.findall(
        r"(codetainer_[a-z_]+)(?:\{([^}]*)\})?", re.sub(r"codetainer_(condition|session)=", "state=", expression)
    )
    assert asked or expression.startswith("up")
    for name, selector in asked:
        assert name in FOUND, name
        labels = {key for has, _ in FOUND[name] for key in has} | {"instance", "job", "state"}
        assert set(re.findall(r"([a-z_]+)(?:=~|!=|!~|=)", selector)) <= labels, name


def test_alerts_have_severity_and_remedy() -> None:
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_panels_do_not_cover_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
