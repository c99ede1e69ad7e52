"""The CoreDNS metrics that show whether DNS works.

Format: Prometheus text exposition 0.0.4. Metric names: https://coredns.io/plugins/metrics/ and /plugins/cache/.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """Totals since CoreDNS started. `answer_seconds` is the sum over `answers` answers, excluding those to unlisted names.

    Only our plugin counts the names that CoreDNS itself refuses (network/dns/coredns/refuse.go).
    """

    queries: int = 0
    cache_hits: int = 0
    nxdomain: int = 0
    answers: int = 0
    answer_seconds: float = 0.0


_SAMPLE = re.compile(r"(coredns_[a-z_]+)(\{[^}]*\})? ([0-9.eE+-]+)\s*\Z")


def parse(text: str) -> Measured:
    """Sums the metrics over all servers and zones; ignores other lines."""
    totals: dict[str, float] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if not match:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        if not math.isfinite(value) or value < 0:
            continue
        name = match[1]
        if name == "coredns_dns_responses_total" and 'rcode="NXDOMAIN"' in (match[2] or ""):
            totals["nxdomain"] = totals.get("nxdomain", 0.0) + value
        totals[name] = totals.get(name, 0.0) + value
    refused = totals.get("coredns_refuse_names_total", 0)
    return Measured(
        queries=int(totals.get("coredns_dns_requests_total", 0) + refused),
        cache_hits=int(totals.get("coredns_cache_hits_total", 0)),
        nxdomain=int(totals.get("nxdomain", 0) + refused),
        answers=int(totals.get("coredns_dns_request_duration_seconds_count", 0)),
        answer_seconds=totals.get("coredns_dns_request_duration_seconds_sum", 0.0),
    )
