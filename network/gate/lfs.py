"""HAProxy rules for Git LFS.

Sources: https://github.com/git-lfs/git-lfs/blob/main/docs/api; HAProxy configuration manual 2.6.
"""

from __future__ import annotations

from collections.abc import Iterable

from network.gate.credentials import Host
from network.gate.rules import Refusal

NOT_FOUND = "GitHub found no such repository; check that it exists and that the operator's credential can read it"


def answers(host: Host) -> Iterable[str]:
    """Rules for answers of the LFS API.

    github.com answers 404 for a repository that the credential cannot see. git-lfs would conclude that the host has no locks,
    and store `locksverify = false` in the repository for ever.
    """
    if host.lfs:
        hidden = f"{{ status 404 }} {{ var(txn.path) -m reg -i '{host.lfs}/(locks/verify|objects/batch)$' }}"
        yield Refusal(403, NOT_FOUND, "json").instead(hidden)
