"""HAProxy rules for a host that is the API of a model: every request passes through the reader (network/gate/reader/).

Source: HAProxy configuration manual 2.6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from network import reasons
from network.gate import wording
from network.gate.credentials import Host
from network.gate.rules import REPORTED, body

MCP_HEADER = ("anthropic-beta", "mcp-client")  # the refused header that asks for remote MCP servers
UNREAD = ("/api/",)  # paths whose bodies are not requests to the model (network/gate/reader/hop.go)
READER_DOWN = "requests to the model cannot be checked at the moment, so they do not pass; try again in a few seconds"
REFUSED_HEADER = "x-codetainer-refused"  # of an answer of the reader (network/gate/reader/hop.go): what it refused, for the log
OVER_BUDGET = "budget"  # its value if the budget is used up, which is not a refused attempt


def permitting(host: Host, model_tools: Iterable[str]) -> Host:
    """The host without the refusals of headers that the operator's words for the model need (CODETAINER_MODEL_TOOLS)."""
    if not host.model_api or "mcp" not in model_tools:
        return host
    return replace(host, refuse_headers=tuple(pair for pair in host.refuse_headers if pair != MCP_HEADER))


def to_reader(host: Host, socket: str) -> Iterable[str]:
    """Rules that hand a request to the reader, still with the placeholder. If the reader is down, nothing passes."""
    yield f"http-request set-header host {host.name}"
    yield "http-request set-var(txn.verdict) str(carried)"
    yield "http-request set-log-level silent unless { var(txn.cookies) -m int 1 }"
    refused = "{ var(txn.refused) -m found }"
    attempt = f"{refused} !{{ var(txn.refused) -m str {OVER_BUDGET} }}"
    yield f"http-response set-var(txn.refused) res.fhdr({REFUSED_HEADER})"
    yield f"http-response set-var(txn.verdict) str({wording.verdict(reasons.MODEL)}) if {attempt}"
    yield f"http-response set-var(txn.detail) var(txn.refused) if {attempt}"
    yield f"http-response lua.report if {attempt}"
    yield f"http-response set-log-level info if {attempt} !{{ {REPORTED} }}"
    yield f"http-response set-log-level silent if {{ {REPORTED} }}"
    yield f"http-response del-header {REFUSED_HEADER}"
    yield f"http-error status 503 {body(host.answers, READER_DOWN)}"
    yield f"server reader unix@{socket}"
