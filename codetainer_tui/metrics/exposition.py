"""Renders a tally as OpenMetrics. The metrics in docs/metrics.md are generated from here."""

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
    """Returns the exposition (OpenMetrics 1.0), which ends with `# EOF`."""
    exposition: bytes = generate_latest(_Collected(tally))  # type: ignore[no-untyped-call]
    return exposition


class _Collected:
    """The part of a registry that `generate_latest` uses. It has none of the library's collectors for this process."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        return families(self._tally)


def families(tally: Tally) -> Iterator[Metric]:
    """All metrics of a tally."""
    yield from _sandbox(tally.state)
    yield from _boot(tally.state)
    yield from _services(tally)
    yield from _network(tally)
    yield from _load(tally.state)
    yield from _suspended(tally.state)
    yield from _agent(tally.state)


def _gauge(name: str, about: str, value: float, unit: str = "") -> Metric:
    return GaugeMetricFamily(PREFIX + name, about, value=value, unit=unit)


def _gauges(name: str, about: str, label: str, values: Mapping[str, float], unit: str = "") -> Metric:
    family = GaugeMetricFamily(PREFIX + name, about, labels=[label], unit=unit)
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, about: str, value: float, unit: str = "") -> Metric:
    return CounterMetricFamily(PREFIX + name, about, value=value, unit=unit)


def _counters(name: str, about: str, labels: tuple[str, ...], values: Labelled, unit: str = "") -> Metric:
    family = CounterMetricFamily(PREFIX + name, about, labels=labels, unit=unit)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _states(name: str, about: str, words: Iterator[str], now: str) -> Metric:
    return StateSetMetricFamily(PREFIX + name, about, value={word: word == now for word in words})


def _sandbox(state: State) -> Iterator[Metric]:
    labels = {
        "version": harmless(state.version, 40), "repository": harmless(state.repository, 120),
        "credentials": harmless(state.credentials, 20), "gate": "on" if state.gate else "off",
    }  # fmt: skip
    yield InfoMetricFamily(
        PREFIX + "sandbox", "Version, repository, location of credentials, and whether the gate is on.", value=labels
    )
    condition = str(headline(state).condition)
    yield _states("condition", "State of the sandbox.", (str(c) for c in Condition), condition)
    yield _gauge("frozen", "1 while the agent is frozen.", state.frozen)
    yield _gauge("learning", "1 in a learning run: public names open when they are asked for.", state.learning)
    yield _gauge("learned_names", "Names that the learning run has opened.", len(state.learned))
    says = "1 after a protection failed while the agent was running, until a retry."
    yield _gauge("protection_failed", says, state.protection_failed is not None)
    if state.sealed is not None:
        seal = {"head": harmless(state.sealed.head, 50), "key": harmless(state.sealed.key, 64)}
        yield InfoMetricFamily(PREFIX + "journal", "Head and next key of the last seal: see codetainer verify.", value=seal)
        yield _gauge("journal_sealed_timestamp", "Time of the last seal of the journal.", state.sealed_at, "seconds")
    yield _gauge("journal_updated_timestamp", "Time of the last event.", state.updated_at, "seconds")


def _boot(state: State) -> Iterator[Metric]:
    yield _gauge("boot_started_timestamp", "Start of boot.", state.started_at, "seconds")
    yield _gauge("boot", "Duration of boot, 0 while booting.", state.boot_seconds, "seconds")
    outcomes = dict.fromkeys((str(outcome) for outcome in e.Outcome), 0.0)
    for step in state.steps.values():
        if step.outcome is not None:
            outcomes[step.outcome] += 1
    yield _gauges("boot_steps", "Boot steps by outcome.", "outcome", outcomes)


def _services(tally: Tally) -> Iterator[Metric]:
    up = {name: float(service.state is e.ServiceState.UP) for name, service in tally.state.services.items()}
    yield _gauges("service_up", "1 while the service is up and responsive.", "service", up)
    restarts: Labelled = {(name,): float(tally.restarts.get(name, 0)) for name in tally.state.services}
    yield _counters("service_restarts", "Restarts of the service.", ("service",), restarts)
    proof = tally.state.proof
    held = {harmless(probe, 40): float(not text) for probe, text in proof.results.items()} if proof else {}
    yield _gauges("proof_held", "1 if the probe passed in the last self-test.", "probe", held)
    yield _gauge("proof_timestamp", "Time of the last self-test.", tally.state.proof_at, "seconds")
    proofs: Labelled = {(result,): float(count) for result, count in tally.proofs.items()}
    yield _counters("proofs", "Self-tests by result.", ("result",), proofs)


def _network(tally: Tally) -> Iterator[Metric]:
    refused: Labelled = {key: float(count) for key, count in tally.refused.items()}
    yield _counters("refused", "Refusals by protection and reason.", ("via", "reason"), refused)
    about = "Unacknowledged kinds of serious refusals; in a flood, a lower bound."
    yield _gauge("serious_refusals", about, tally.state.refusals.alarms)
    names: Labelled = {key: float(count) for key, count in tally.refused_names.items()}
    about = "Refusals by name: the first 100 serious and the first 100 other names, then (others)."
    yield _counters("refused_names", about, ("name", "reason"), names)
    cookies: Labelled = {(harmless(name, 253),): float(count) for name, count in tally.cookies.items()}
    about = "Requests to a host with a credential from which the gate dropped cookies."
    yield _counters("cookies_dropped", about, ("name",), cookies)
    connections: Labelled = {(name,): float(total.connections) for name, total in tally.carried.items()}
    about = "Connections through the gate by name: the first 100 names, then (others)."
    yield _counters("carried_connections", about, ("name",), connections)
    carried: Labelled = {}
    for name, total in tally.carried.items():
        carried[name, "in"], carried[name, "out"] = float(total.bytes_in), float(total.bytes_out)
    yield _counters("carried", "Bytes through the gate by name and direction.", ("name", "direction"), carried, "bytes")
    model = tally.state.model or e.ModelUsed(0)
    yield _counter("model_calls", "Calls of the model.", model.calls)
    tokens: Labelled = {(kind,): float(getattr(model, kind)) for kind in ("input", "output", "cached")}
    yield _counters("model_tokens", "Tokens that the API reported, by kind.", ("kind",), tokens)
    yield _counter("model_cost", "Estimated cost of all calls in US dollars.", model.cost, "dollars")
    yield _gauge("model_budget_used", "The largest used share of a limit of the budget; 0 without limits.", model.share)
    if (notified := tally.state.notifications) is not None:
        yield _counter("notifications_delivered", "Notifications that a service has accepted.", notified.delivered)
        yield _gauge("notifications_waiting", "Messages that a notification service has not received yet.", notified.waiting)
        yield _gauge("notifications_failing", "Notification services that cannot be reached.", len(notified.failing))
        about = "Time of the last notification that a service accepted."
        yield _gauge("notifications_delivered_timestamp", about, notified.delivered_at, "seconds")
    open_now = sum(one.open_now for one in tally.state.carried.values())
    yield _gauge("carried_open_connections", "Open connections through the gate.", open_now)
    dns = tally.state.names or e.NamesMeasured(0, 0, 0, 0.0)
    yield _counter("dns_queries", "DNS queries.", dns.queries)
    yield _counter("dns_cache_hits", "DNS queries answered from the cache.", dns.cache_hits)
    yield _counter("dns_unlisted", "DNS queries for names that are not on the allowlist.", dns.unlisted)
    yield _gauge("dns_latency", "Mean response time of recent DNS queries.", dns.latency_ms / 1000, "seconds")
    listed = tally.state.list or e.ListMeasured(0, 0)
    yield _gauge("list_names", "Names on the allowlist.", listed.names)
    yield _gauge("list_addresses", "Open addresses.", listed.addresses)
    yield _gauge("list_failing_names", "Names on the allowlist without an address.", len(listed.failing))
    yield _gauge(
        "list_refreshed_timestamp", "Time of the last resolution of all names on the allowlist.", listed.refreshed_at, "seconds"
    )
    yield _gauge(
        "allowed_names",
        "Names that an operator has allowed by hand.",
        len({grant.name for grant in tally.state.allowed.values()}),
    )


def _load(state: State) -> Iterator[Metric]:
    load = state.sandbox
    if load is None:
        return
    yield _gauge("cpu_cores", "CPU cores in use by the sandbox.", load.cpu / 100)
    yield _gauge("memory_used", "Memory in use by the sandbox.", load.memory_used, "bytes")
    yield _gauge("memory_limit", "Memory limit of the sandbox.", load.memory_limit, "bytes")
    used = {harmless(path, 60): float(pair[0]) for path, pair in load.tmpfs.items()}
    yield _gauges("tmpfs_used", "Used space of the tmpfs.", "path", used, "bytes")
    size = {harmless(path, 60): float(pair[1]) for path, pair in load.tmpfs.items()}
    yield _gauges("tmpfs_size", "Size limit of the tmpfs.", "path", size, "bytes")
    inodes = {harmless(path, 60): float(pair[0]) for path, pair in load.inodes.items()}
    yield _gauges("tmpfs_inodes", "Files, folders and links on the tmpfs.", "path", inodes)
    limit = {harmless(path, 60): float(pair[1]) for path, pair in load.inodes.items()}
    yield _gauges("tmpfs_inodes_limit", "Limit of files, folders and links on the tmpfs.", "path", limit)


def _suspended(state: State) -> Iterator[Metric]:
    last = state.suspended
    yield _gauge("suspended_timestamp", "Time of the last archive of all work, 0 without one.", state.suspended_at, "seconds")
    yield _gauge("suspended_size", "Size of the last archive of all work.", last.size if last else 0, "bytes")
    about = "1 if the last attempt to write an archive of all work failed."
    yield _gauge("suspend_failing", about, bool(state.suspend_problem))


def _agent(state: State) -> Iterator[Metric]:
    """The session. What the agent's hooks report can be forged by it, so no protection relies on that."""
    session = state.session or e.SessionChanged(e.SessionState.NONE)
    measured = state.measured or e.SessionMeasured(session.state, session.since)
    about = "State of the session. limited, overloaded and refused come from the API's answers at the gate."
    yield _states("session", about, (str(one) for one in e.SessionState), str(measured.state))
    yield _gauge("session_since_timestamp", "Start of the current session state.", measured.since, "seconds")
    about = "End of the usage limit that the session is at; 0 if it is at none, or if its end is unknown."
    yield _gauge("session_limit_end_timestamp", about, measured.until, "seconds")
    tries = state.resumed.tries if state.resumed else 0
    yield _gauge("session_resume_tries", "How often Claude was told to continue since the last call that passed.", tries)
    if session.context_percent >= 0:
        yield _gauge(
            "session_context_ratio", "Used part of the context window, as the agent reports it.", session.context_percent / 100
        )
    if session.cost_usd >= 0:
        yield _gauge("session_cost_dollars", "Cost of the session, as the agent reports it.", session.cost_usd)
    if state.work is None:
        return
    amounts = {"commits": 0.0, "files": 0.0, "stashes": 0.0}
    for repository in state.work.repositories:
        amounts["commits"] += repository.commits
        amounts["files"] += repository.files + repository.untracked
        amounts["stashes"] += repository.stashes
    yield _gauges("unsaved_work", "Unsaved work: commits not pushed, files not committed, stashes.", "kind", amounts)
    unknown = "1 if unsaved work could not be counted completely: a repository is damaged or unreadable, or git failed."
    yield _gauge("work_unknown", unknown, bool(state.work.unknown))
    yield _gauge("work_saved_timestamp", "Time of the last save to wip/.", state.saved_at, "seconds")
    yield _gauge("work_save_failing", "1 if the last save failed.", bool(state.save_problem))
