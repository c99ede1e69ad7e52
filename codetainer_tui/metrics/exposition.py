"""A tally as metric families, and those as OpenMetrics text. Names and meanings are documented from here (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.openmetrics.exposition import generate_latest

from backend.contract import events as e
from backend.contract.state import State
from codetainer_tui.metrics.tally import Tally
from codetainer_tui.view.headline import headline
from codetainer_tui.view.parts import Condition
from codetainer_tui.words import harmless

Labelled = dict[tuple[str, ...], float]
PREFIX = "codetainer_"
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def text(tally: Tally) -> bytes:
    """The exposition (OpenMetrics 1.0), closed by `# EOF`."""
    found: bytes = generate_latest(_Collected(tally))  # type: ignore[no-untyped-call]
    return found


class _Collected:
    """What `generate_latest` asks of a registry. Ours has no collector of the library's: nothing is said of this process."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        return families(self._tally)


def families(tally: Tally) -> Iterator[Metric]:
    yield from _sandbox(tally.state)
    yield from _boot(tally.state)
    yield from _services(tally)
    yield from _network(tally)
    yield from _load(tally.state)
    yield from _agent(tally.state)


def _gauge(name: str, says: str, value: float, unit: str = "") -> Metric:
    return GaugeMetricFamily(PREFIX + name, says, value=value, unit=unit)


def _gauges(name: str, says: str, label: str, values: Mapping[str, float], unit: str = "") -> Metric:
    family = GaugeMetricFamily(PREFIX + name, says, labels=[label], unit=unit)
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, says: str, value: float, unit: str = "") -> Metric:
    return CounterMetricFamily(PREFIX + name, says, value=value, unit=unit)


def _counters(name: str, says: str, labels: tuple[str, ...], values: Labelled, unit: str = "") -> Metric:
    family = CounterMetricFamily(PREFIX + name, says, labels=labels, unit=unit)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _states(name: str, says: str, words: Iterator[str], now: str) -> Metric:
    return StateSetMetricFamily(PREFIX + name, says, value={word: word == now for word in words})


def _sandbox(state: State) -> Iterator[Metric]:
    about = {
        "version": harmless(state.version, 40), "repository": harmless(state.repository, 120),
        "credentials": harmless(state.credentials, 20), "gate": "on" if state.gate else "off",
    }  # fmt: skip
    yield InfoMetricFamily(PREFIX + "sandbox", "What this sandbox is: version, repository, where credentials are.", value=about)
    condition = str(headline(state).condition)
    yield _states("condition", "How the sandbox is, in one word.", (str(c) for c in Condition), condition)
    yield _gauge("frozen", "1 while an operator has frozen the agent.", state.frozen)
    yield _gauge("journal_updated_timestamp", "When something was last said.", state.updated_at, "seconds")


def _boot(state: State) -> Iterator[Metric]:
    yield _gauge("boot_started_timestamp", "When boot began.", state.started_at, "seconds")
    yield _gauge("boot", "How long boot took, 0 while it is under way.", state.boot_seconds, "seconds")
    outcomes = dict.fromkeys((str(outcome) for outcome in e.Outcome), 0.0)
    for step in state.steps.values():
        if step.outcome is not None:
            outcomes[step.outcome] += 1
    yield _gauges("boot_steps", "Boot steps by how they ended.", "outcome", outcomes)


def _services(tally: Tally) -> Iterator[Metric]:
    up = {name: float(service.state is e.ServiceState.UP) for name, service in tally.state.services.items()}
    yield _gauges("service_up", "1 while the service runs and answers.", "service", up)
    restarts: Labelled = {(name,): float(tally.restarts.get(name, 0)) for name in tally.state.services}
    yield _counters("service_restarts", "Starts after a fall.", ("service",), restarts)
    proof = tally.state.proof
    held = {harmless(probe, 40): float(not text) for probe, text in proof.results.items()} if proof else {}
    yield _gauges("proof_held", "1 where the probe held when the walls were last tried.", "probe", held)
    yield _gauge("proof_timestamp", "When the walls were last tried.", tally.state.proof_at, "seconds")
    proofs: Labelled = {(result,): float(count) for result, count in tally.proofs.items()}
    yield _counters("proofs", "How often the walls were tried, by what came of it.", ("result",), proofs)


def _network(tally: Tally) -> Iterator[Metric]:
    refused: Labelled = {key: float(count) for key, count in tally.refused.items()}
    yield _counters("refused", "What was refused, by the wall that did and why.", ("via", "reason"), refused)
    says = "Kinds of serious refusals that nobody has acknowledged; in a flood, a lower bound."
    yield _gauge("serious_refusals", says, tally.state.refusals.alarms)
    names: Labelled = {key: float(count) for key, count in tally.refused_names.items()}
    says = "The same by name; the first hundred of serious and of other ones, then (others)."
    yield _counters("refused_names", says, ("name", "reason"), names)
    cookies: Labelled = {(harmless(name, 253),): float(count) for name, count in tally.cookies.items()}
    says = "Requests to a host with a credential from which the gate dropped cookies."
    yield _counters("cookies_dropped", says, ("name",), cookies)
    connections: Labelled = {(name,): float(total.connections) for name, total in tally.carried.items()}
    says = "Connections that the gate carried, by name; the first hundred, then (others)."
    yield _counters("carried_connections", says, ("name",), connections)
    carried: Labelled = {}
    for name, total in tally.carried.items():
        carried[name, "in"], carried[name, "out"] = float(total.bytes_in), float(total.bytes_out)
    yield _counters("carried", "Bytes that it carried.", ("name", "direction"), carried, "bytes")
    open_now = sum(one.open_now for one in tally.state.carried.values())
    yield _gauge("carried_open_connections", "Connections that are open now.", open_now)
    dns = tally.state.names or e.NamesMeasured(0, 0, 0, 0.0)
    yield _counter("dns_queries", "Questions that CoreDNS was asked.", dns.queries)
    yield _counter("dns_cache_hits", "Those answered from its cache.", dns.cache_hits)
    yield _counter("dns_unlisted", "Those for names that do not exist here.", dns.unlisted)
    yield _gauge("dns_latency", "Mean time of an answer lately.", dns.latency_ms / 1000, "seconds")
    listed = tally.state.list or e.ListMeasured(0, 0)
    yield _gauge("list_names", "Names on the list.", listed.names)
    yield _gauge("list_addresses", "Addresses that are open.", listed.addresses)
    yield _gauge("list_failing_names", "Names on the list without an address.", len(listed.failing))
    yield _gauge("list_refreshed_timestamp", "When every listed name was last resolved.", listed.refreshed_at, "seconds")
    yield _gauge(
        "allowed_names",
        "Names that are open because somebody opened them by hand.",
        len({grant.name for grant in tally.state.allowed.values()}),
    )


def _load(state: State) -> Iterator[Metric]:
    load = state.sandbox
    if load is None:
        return
    yield _gauge("cpu_cores", "Cores that the sandbox uses.", load.cpu / 100)
    yield _gauge("memory_used", "Memory that its processes hold.", load.memory_used, "bytes")
    yield _gauge("memory_limit", "Memory that there is.", load.memory_limit, "bytes")
    used = {harmless(path, 60): float(pair[0]) for path, pair in load.tmpfs.items()}
    yield _gauges("tmpfs_used", "How much of a memory file system is used.", "path", used, "bytes")
    size = {harmless(path, 60): float(pair[1]) for path, pair in load.tmpfs.items()}
    yield _gauges("tmpfs_size", "How large it may grow.", "path", size, "bytes")


def _agent(state: State) -> Iterator[Metric]:
    """What the agent's hooks report is shown and never trusted: an alert on it is a convenience."""
    session = state.session or e.SessionChanged(e.SessionState.NONE)
    says = "What the agent does, as far as can be told (the agent's own report)."
    yield _states("session", says, (str(one) for one in e.SessionState), str(session.state))
    yield _gauge("session_since_timestamp", "Since when.", session.since, "seconds")
    if session.context_percent >= 0:
        yield _gauge("session_context_ratio", "Context used, as the agent reports it.", session.context_percent / 100)
    if session.cost_usd >= 0:
        yield _gauge("session_cost_dollars", "Cost of the session, as the agent reports it.", session.cost_usd)
    if state.work is None:
        return
    found = {"commits": 0.0, "files": 0.0, "stashes": 0.0}
    for repository in state.work.repositories:
        found["commits"] += repository.commits
        found["files"] += repository.files + repository.untracked
        found["stashes"] += repository.stashes
    yield _gauges("unsaved_work", "What is only in the sandbox: not pushed, not committed.", "kind", found)
    unknown = "1 while not all of it is known: a repository is damaged or closed, or counting failed."
    yield _gauge("work_unknown", unknown, bool(state.work.unknown))
    yield _gauge("work_saved_timestamp", "When unsaved work was last pushed to wip/.", state.saved_at, "seconds")
    yield _gauge("work_save_failing", "1 while it cannot be pushed.", bool(state.save_problem))
