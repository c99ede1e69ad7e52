"""References to other repositories and mentions of accounts in what the agent writes at GitHub (CODETAINER_REFERENCES).

GitHub acts on text: "Closes OTHER/REPO#1" closes an issue if the operator may, a link leaves a trace in a timeline that others
read, and a mention notifies an account. references.lua finds them in the bodies of REST requests, graphql.lua and push.lua call
it for mutations and pushes. Nothing can be made harmless instead: a changed commit would have another id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum

from network.gate.credentials import Host
from network.gate.rules import checked_by_lua


class References(StrEnum):
    PASS = "pass"
    REFUSE = "refuse"


def applied(host: Host, references: References) -> Host:
    """The host as the operator's setting has it. Only GitHub and hosts like it interpret text."""
    return replace(host, searched=references is References.REFUSE and bool(host.graphql or host.guards_branches))


def permitted(host: Host, repositories: Iterable[str]) -> Iterable[str]:
    """A rule that sets txn.references to the repositories that text may refer to, if it is searched."""
    if host.searched:
        yield f"http-request set-var(txn.references) str('{' '.join(repositories) or '-'}')"


def searched(host: Host, repositories: Iterable[str], as_json: Callable[[str, Host], Iterable[str]]) -> Iterable[str]:
    """Rules for the bodies of writes other than GraphQL and pushes. `as_json` returns the rules that read a body as JSON."""
    if not (host.searched and host.graphql):
        return
    files = host.allowed(repositories, files=True)
    yield from (f"acl files var(txn.path) -m reg -i '{write.path}'" for write in files)
    condition = f"{{ var(txn.writes) -m bool }} !graphql{' !files' if files else ''}"
    yield from as_json(condition, host)
    yield from checked_by_lua("references", "txn.referring", host.answers, condition)
