"""HAProxy rules that log the writes that passed and that the host answered with success, for the operator's report."""

from __future__ import annotations

from collections.abc import Iterable

from network.gate.credentials import Host

WROTE = "wrote"  # the verdict in the log
# Where the host says it has created something (RFC 9110, 10.2.2). The answer is not read further.
LINK = "-> "


def rules(host: Host) -> Iterable[str]:
    """Rules for a request that has passed all others. They use txn.detail, and txn.wrote as push.lua and graphql.lua set it."""
    if not host.writes_to_repositories:
        return
    if not (host.guards_branches or host.graphql):
        yield "http-request set-var(txn.wrote) var(txn.detail) unless { method GET HEAD OPTIONS }"
    elif host.graphql:
        yield "http-request set-var(txn.wrote) var(txn.detail) if !graphql !{ method GET HEAD OPTIONS }"
    wrote = "{ var(txn.wrote) -m found } { status 200:299 }"
    yield f"http-response set-var(txn.detail) var(txn.wrote) if {wrote}"
    yield "http-response set-var(txn.location) res.hdr(location)"
    created = f"{wrote} {{ var(txn.location) -m beg https:// }}"
    yield f"http-response set-var(txn.detail) var(txn.wrote),concat(' {LINK}',txn.location) if {created}"
    yield f"http-response set-var(txn.verdict) str({WROTE}) if {wrote}"
    yield f"http-response set-log-level info if {wrote}"
