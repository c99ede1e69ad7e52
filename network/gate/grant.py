"""What passes at a host whose TLS ends at the gate, in words: for `codetainer explain`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from network.gate.credentials import Host
from network.gate.ways import Catalogue, Verdict, Way

NO_WRITES = "Writes: none, so the agent can store nothing there."
READ = "Requests to the model: read by the gate, which refuses what the model may not use (CODETAINER_MODEL_TOOLS)."
NO_REFERENCES = "Texts: refused if they refer to other repositories or mention accounts (CODETAINER_REFERENCES)."
NO_REPOSITORY = "Writes: none, because REPO_URL and CODETAINER_PUSH name no repository."


def lines(host: Host, held: Collection[str], repositories: Collection[str], catalogue: Catalogue) -> Iterable[str]:
    """One sentence or item per line. `held` are the variables of the credentials that the operator has given."""
    yield f"Credential: {_credential(host, [c.variable for c in host.credentials if c.variable in held])}"
    yield f"Reads: {_reads(host)}"
    ways = [way for way in catalogue.ways if way.verdict is Verdict.SCOPE and (way.at(host.name) or _asked(way, host))]
    own = [write for write in host.writes if "PUSH" not in write and write != f"POST {host.graphql}"]
    if host.lfs_store:
        yield "Writes: only Git LFS objects of repositories in scope, because the addresses of others are not handed out."
    elif not host.writes:
        yield NO_WRITES
    elif not host.writes_to_repositories:
        yield f"Writes: {', '.join(own)}; all others are refused. They reach the operator's account only."
    elif not repositories:
        yield NO_REPOSITORY
    else:
        yield f"Writes: only to {', '.join(sorted(repositories))}; all other repositories, and others' accounts, are refused:"
        yield from _writes(host, ways)
    if host.searched:
        yield NO_REFERENCES
    if host.model_api:
        yield READ
    closed = [way.name for way in catalogue.ways if way.verdict is Verdict.REFUSED and way.at(host.name)]
    if closed:
        yield f"Refused everywhere: {', '.join(closed)}."


def _asked(way: Way, host: Host) -> bool:
    return bool(host.graphql and way.mutations)


def _writes(host: Host, ways: Iterable[Way]) -> Iterable[str]:
    """The permitted writes: by way if the catalogue has them, else as they are listed."""
    listed = {f"{request.method} {request.path}" for way in ways for request in way.at(host.name)}
    for way in ways:
        requests = [f"{request.method} {request.path.removeprefix('PUSH/') or '.'}" for request in way.at(host.name)]
        if _asked(way, host):
            requests.append(f"{len(way.mutations)} GraphQL mutations")
        yield f"  {way.name} ({way.lets_out}): {', '.join(requests)}"
    for write in host.writes:
        if write.partition(" ")[2].startswith("PUSH") and write not in listed:
            yield f"  {write}"


def _credential(host: Host, held: Collection[str]) -> str:
    if host.lfs_store:
        return "not the operator's, but the one that GitHub hands out with each address."
    if host.any_credential:
        return "not the operator's; clients may use any other, for reading only."
    words = f"the operator's {' or '.join(held)}, which the gate inserts; every other one is refused"
    return f"{words}, except for a token in the URL." if host.url_tokens else f"{words}."


def _reads(host: Host) -> str:
    if host.lfs_store:
        return "only addresses that GitHub has handed out to this sandbox."
    but = f", except below {', '.join(host.refuse_paths)}" if host.refuse_paths else ""
    return f"GET and HEAD on every path{but}."
