"""HAProxy rules for Git LFS: its API at the git host, and the stores, where only addresses from that API are permitted.

Sources: https://github.com/git-lfs/git-lfs/blob/main/docs/api; HAProxy configuration manual 2.6.
"""

from __future__ import annotations

from collections.abc import Iterable

from network import reasons
from network.gate.credentials import Host
from network.gate.headers import dropped
from network.gate.rules import checked_by_lua, instead


def batches(host: Host) -> Iterable[str]:
    """Rules and a filter that learn the addresses in answers of the LFS API (lfs.lua). The answers must not be compressed."""
    if host.lfs:
        yield "filter lua.lfs_addresses"
        batch = f"{{ method POST }} {{ var(txn.path) -m reg -i '{host.lfs}/objects/batch$' }}"
        yield f"http-request set-var(txn.lfs_batch) bool(true) if {batch}"
        yield f"http-request del-header accept-encoding if {batch}"


def store(host: Host) -> Iterable[str]:
    """Rules for a store: only requests to an address that the LFS API has handed out pass, with the credential for it."""
    yield "http-request set-var(txn.shown) path"
    yield "http-request set-var(txn.detail) method,concat(' ',txn.shown)"
    yield f"http-request del-header '{dropped(())}' -m reg"
    yield from checked_by_lua("lfs_address", "txn.lfs", host.answers)
    yield "http-request set-var(txn.detail) str(-)"


def answers(host: Host) -> Iterable[str]:
    """Rules for answers of the LFS API.

    github.com answers 404 for a repository that the credential cannot see. git-lfs would conclude that the host has no locks,
    and store `locksverify = false` in the repository for ever.
    """
    if host.lfs:
        hidden = f"{{ status 404 }} {{ var(txn.path) -m reg -i '{host.lfs}/(locks/verify|objects/batch)$' }}"
        yield instead(403, reasons.HIDDEN, hidden)
