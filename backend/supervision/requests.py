"""What `codetainer explain` says about requests: about one with a method and a URL, and about what passes at a host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backend.settings import ways_file
from backend.supervision.destination import Target
from network.allowlist import Allowlist
from network.gate.credential_proxy import CredentialProxy
from network.gate.grant import lines as what_passes
from network.gate.prediction import TLS_PORT, Request, predict


def about(target: Target, allowlist: Allowlist, proxy: CredentialProxy | None) -> tuple[list[str], dict[str, Any]]:
    """The lines about a request, and the data of the reply: `depends`, or `answer` and `reason` if the gate refuses it.

    Both are empty if no request was named, or the gate sees none.
    """
    if not target.request or proxy is None:
        return [], {}
    request = Request(target.method, target.host, target.port, target.request, target.scheme)
    if request.port != TLS_PORT and any(host.name == request.host for host in proxy.hosts):
        return [f"{request}: the gate answers with a redirect to https."], {}
    foreseen = predict(request, allowlist, proxy)
    if foreseen.refused:
        return [f"{request} is refused: {foreseen.refused}"], {"reason": foreseen.reason, "answer": foreseen.refused}
    if foreseen.no_upgrade:
        return [f"{request} passes without its offer of a WebSocket, so none begins: the gate drops such offers here."], {}
    if foreseen.unseen:
        return [f"{request} passes: this host may get any request."] if target.method != "GET" else [], {}
    if foreseen.depends:
        return [f"{request} depends on {one}." for one in foreseen.depends], {"depends": list(foreseen.depends)}
    return [f"{request} passes."], {"depends": []}


def granted(host: str, proxy: CredentialProxy | None) -> Iterator[str]:
    """What is known of a host, and what passes there if its TLS ends at the gate: one line each."""
    catalogue = ways_file.read()
    if about := catalogue.about.get(host):
        yield about
    if proxy is not None:
        for one in proxy.hosts:
            if one.name == host:
                yield from what_passes(one, proxy.secrets, proxy.repositories, catalogue)
