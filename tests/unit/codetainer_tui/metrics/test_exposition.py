"""OpenMetrics as another parser reads it; and that dashboards and alerts ask for nothing that is not there."""

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


def test_what_is_said() -> None:
    assert value("codetainer_condition", codetainer_condition="degraded") == 1  # the gate is starting
    assert value("codetainer_condition", codetainer_condition="ready") == 0
    assert value("codetainer_service_up", service="coredns") == 1
    assert value("codetainer_service_up", service="gate") == 0
    assert value("codetainer_service_restarts_total", service="gate") == 1
    assert value("codetainer_refused_names_total", name="telemetry.example") == 3
    assert value("codetainer_carried_bytes_total", name="api.example", direction="out") == 300
    assert value("codetainer_tmpfs_size_bytes", path="/tmp") == 512 << 20
    assert value("codetainer_cpu_cores") == 1.5
    assert value("codetainer_proof_held", probe="root read-only") == 1
    assert value("codetainer_session", codetainer_session="waits") == 1
    assert value("codetainer_unsaved_work", kind="files") == 3
    assert value("codetainer_dns_latency_seconds") == 0.0015


def test_a_sandbox_of_which_nothing_was_heard_has_an_exposition_too() -> None:
    found = samples(Tally())
    assert "codetainer_condition" in found
    assert exposition.text(Tally()).endswith(b"# EOF\n")


def test_every_family_says_what_it_means_and_has_samples() -> None:
    for family in exposition.families(tally()):
        assert family.documentation.endswith("."), family.name
        assert family.samples, family.name


def test_text_of_the_agents_is_a_label_and_nothing_more() -> None:
    evil = 'a"} 1\n# EOF\nx{b="\\\x1b[2J\u202e'
    found = Tally()
    found.add([e.Stamped(1.0, 1, e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, 1, "dns", evil)),
               e.Stamped(2.0, 2, e.Carried(evil, 1, 0, 1, 1, 1.0))])  # fmt: skip
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
def test_what_alerts_and_dashboard_ask_for_is_there(expression: str) -> None:
    asked = re.findall(
        r"(codetainer_[a-z_]+)(?:\{([^}]*)\})?", re.sub(r"codetainer_(condition|session)=", "state=", expression)
    )
    assert asked or expression.startswith("up")
    for name, selector in asked:
        assert name in FOUND, name
        labels = {key for has, _ in FOUND[name] for key in has} | {"instance", "job", "state"}
        assert set(re.findall(r"([a-z_]+)(?:=~|!=|!~|=)", selector)) <= labels, name


def test_alerts_say_how_grave_they_are_and_what_to_do() -> None:
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
