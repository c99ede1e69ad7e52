"""CoreDNS's metrics."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from network.dns import metrics
from network.dns.metrics import Measured

TEXT = """\
# HELP coredns_dns_requests_total Counter of DNS requests made per zone, protocol and family.
coredns_dns_requests_total{family="1",proto="udp",server="dns://127.0.0.53:53",type="A",zone="."} 3
coredns_dns_requests_total{family="1",proto="udp",server="dns://127.0.0.53:53",type="A",zone="github.com."} 4
coredns_dns_responses_total{plugin="forward",rcode="NXDOMAIN",zone="github.com."} 1
coredns_refuse_names_total 2
coredns_dns_responses_total{plugin="forward",rcode="NOERROR",zone="."} 5
coredns_cache_hits_total{server="dns://127.0.0.53:53",type="success"} 1
coredns_dns_request_duration_seconds_sum{zone="."} 0.25
coredns_dns_request_duration_seconds_count{zone="."} 7
go_goroutines 12
coredns_cache_hits_total 1e999
coredns_cache_hits_total -5
coredns_cache_hits_total 1.2.3
"""


def test_totals() -> None:
    assert metrics.parse(TEXT) == Measured(9, 1, 3, 7, 0.25)


@given(st.text())
def test_any_text_is_parsed_or_ignored(text: str) -> None:
    assert metrics.parse(text).queries >= 0
