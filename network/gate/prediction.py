"""What the gate would do with a request of which method and URL are known, for `codetainer explain METHOD URL`.

The rules are those that HAProxy gets, applied by network/gate/rule_reader.py. The client is one that sends the placeholder of
the host's credential, no other special header than the offer of a WebSocket, and no body with GET, HEAD and OPTIONS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from network import reasons
from network.allowlist import Allowlist
from network.gate import grants, model_api, wording
from network.gate.credential_proxy import CredentialProxy, decisive, foreign
from network.gate.credentials import Host
from network.gate.rule_reader import Decision, Known, Reader

TLS_PORT = 443
METHOD = re.compile(r"[A-Z][A-Z-]{0,31}\Z")
# No client sends anything else unencoded (RFC 3986), and HAProxy refuses most of it.
TARGET = re.compile(r"/[!-~]*\Z")
_DETAIL = "%[var(txn.detail)]"
_NO_FILE = Path("granted")

# What a request depends on, by the Lua action that decides. `{}` are the members that may be set.
OPEN = {
    "members": "the body: it may set only {}",
    "new_ref": "the body: only branches, tags and notes can be created",
    "graphql_scope": "the body: which mutations it has, and which objects they name",
    "push_commands": "the body: which branches and tags the push changes",
    "deletable_branch": "the branch: the default branch and protected ones stay (the gate asks GitHub)",
    "own_head": "the pull request: its branch must be in a repository in scope (the gate asks GitHub)",
    "references": "the text: it may not refer to other repositories or mention accounts (CODETAINER_REFERENCES)",
    "lfs_address": "the address: GitHub must have handed it out to this sandbox",
}
WITH_TEXT = {OPEN["graphql_scope"], OPEN["push_commands"]}  # these actions also search text (network/gate/references.py)
READ = "the body: what the model may use (CODETAINER_MODEL_TOOLS)"


@dataclass(frozen=True, slots=True)
class Request:
    """A request: method, host, port, the path with the query, and the URL's scheme: https, http, wss or ws."""

    method: str
    host: str
    port: int
    target: str = "/"
    scheme: str = "https"

    @property
    def encrypted(self) -> bool:
        return self.scheme in ("https", "wss")

    @property
    def websocket(self) -> bool:
        """True if the request offers to become a WebSocket (RFC 6455, 4.1)."""
        return self.scheme in ("wss", "ws")

    def __str__(self) -> str:
        """Without the query, which may contain a secret."""
        port = "" if self.port == (TLS_PORT if self.encrypted else 80) else f":{self.port}"
        return f"{self.method} {self.scheme}://{self.host}{port}{self.target.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """`refused` is the sentence that the client would get, with its `reason`; "" if the gate would not refuse the request.

    `depends`: what decides then, one sentence each. `unseen`: the gate does not judge requests to this host. `no_upgrade`: the
    request offers a WebSocket, and the gate passes it without the offer.
    """

    reason: str = ""
    refused: str = ""
    depends: tuple[str, ...] = ()
    unseen: bool = False
    no_upgrade: bool = False


def predict(request: Request, allowlist: Allowlist, proxy: CredentialProxy) -> Prediction:
    """The prediction for a host and port that the allowlist opens."""
    host = next((one for one in proxy.hosts if (one.name, TLS_PORT) == (request.host, request.port)), None)
    if host is not None:
        return replace(_of_host(request, host, proxy), no_upgrade=request.websocket)
    entry = _in_force(request, allowlist)
    if entry in ("", grants.OPEN, grants.RECORDED):
        return Prediction(unseen=True, no_upgrade=request.scheme == "ws")
    rules = _granted_rules()
    known = _known(request, {"txn.grant": entry.encode()}, {str(_NO_FILE): grants.patterns(allowlist)})
    return _prediction(Reader(known).decide(rules), ())


@cache
def _granted_rules() -> tuple[str, ...]:
    return (*foreign(), *grants.rules(_NO_FILE))


def _in_force(request: Request, allowlist: Allowlist) -> str:
    """The value of the gate's maps for a host and port, "" if there is none."""
    maps, suffix = grants.maps(allowlist), "" if request.encrypted else "_http"
    key = f"{request.host}:{request.port}"
    exact = dict(line.split(" ", 1) for line in maps[f"exact{suffix}"])
    below = (line.split(" ", 1) for line in maps[f"below{suffix}"])
    return exact.get(key) or next((value for end, value in below if key.endswith(end)), "")


@lru_cache(256)
def _rules(host: Host, variables: tuple[str, ...], repositories: tuple[str, ...]) -> tuple[str, ...]:
    """The rules for a host, without the credentials' values, which decide nothing."""
    return (*foreign(), *decisive(host, dict.fromkeys(variables, "-"), repositories, ""))


def _credential(host: Host, proxy: CredentialProxy) -> dict[str, bytes]:
    """The header with the placeholder, as a client of the host sends it."""
    if host.any_credential or host.lfs_store:
        return {}
    credential = next(one for one in host.credentials if proxy.secrets.get(one.variable))
    scheme = "Bearer " if credential.header == "authorization" else ""
    return {credential.header: f"{scheme}{credential.placeholder}".encode()}


def _known(
    request: Request, more: dict[str, bytes], files: dict[str, tuple[str, ...]], headers: dict[str, bytes] | None = None
) -> Known:
    name = request.host.encode()
    variables = {"txn.name": name, "txn.host": name, **more}
    offer = {"connection": b"Upgrade", "upgrade": b"websocket"} if request.websocket else {}
    sent = {"host": name, **offer, **(headers or {})}
    return Known(request.method.encode(), request.target.encode("ascii"), sent, variables, files)


def _of_host(request: Request, host: Host, proxy: CredentialProxy) -> Prediction:
    variables = tuple(credential.variable for credential in host.credentials if proxy.secrets.get(credential.variable))
    rules = _rules(host, variables, proxy.repositories)
    known = _known(request, {}, {}, _credential(host, proxy))
    prediction = _prediction(Reader(known).decide(rules), proxy.repositories)
    if host.searched and not WITH_TEXT.isdisjoint(prediction.depends):
        prediction = replace(prediction, depends=(*prediction.depends, OPEN["references"]))
    read = host.model_api and request.method not in ("GET", "HEAD")
    if read and not prediction.refused and not request.target.lower().startswith(model_api.UNREAD):
        return Prediction(depends=(*prediction.depends, READ))
    return prediction


def _prediction(decision: Decision, repositories: Iterable[str]) -> Prediction:
    if not decision.verdict:
        members = decision.text("txn.members_allowed").replace(" ", ", ")
        return Prediction(depends=tuple(_depends(one).replace("{}", members) for one in decision.open))
    reason, detail = wording.parse_verdict(decision.verdict) or (decision.verdict, "")
    if _DETAIL in decision.answer:
        detail = decision.text("txn.detail")
    where = ", ".join(repositories) or "no repository"
    return Prediction(reason, reasons.sentence(reason, reasons.advice(reason, repositories=where), detail))


def _depends(question: str) -> str:
    """What a request depends on: words for a Lua action, or the reason with which a rule would refuse the body."""
    if question in OPEN:
        return OPEN[question]
    reason, _ = wording.parse_verdict(question) or (question, "")
    return f"the body: {reason}"
