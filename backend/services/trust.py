"""The gate's certificates: made at boot for hosts with a credential, trusted inside the sandbox, renewed before they expire.

A bundle in memory, with the gate's CA at its end, is mounted over the system's bundle. That works on a read-only root, leaves
the image unchanged, and allows another CA to be added later. Runtimes with their own stores: trust_stores.py.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backend import system
from backend.contract.paths import Paths
from backend.services.trust_stores import TrustStores
from backend.system import SystemFailure
from network.gate.haproxy import Places

if TYPE_CHECKING:
    from backend.services.certificates import Made, Wanted

RENEW_AFTER = 2 / 3  # of the validity
SKEW = 86400.0  # seconds; the validity starts this long before the certificates are made
OURS = "# A CA of this sandbox's gate. Its key was discarded.\n"
MAKE_SECONDS = 20.0


async def make(paths: Paths, wanted: Wanted) -> Made:
    """Makes certificates in a separate process (backend/services/certificates.py explains why). Raises SystemFailure."""
    done = await system.run_async(
        [str(paths.python), "-I", "-m", "backend", "certificates"], input=json.dumps(wanted), timeout=MAKE_SECONDS, check=False
    )
    if done.code != 0:
        raise SystemFailure(f"cannot make the gate's certificates: {done.last_line}")
    try:
        made: Made = done.value()
    except ValueError as error:
        raise SystemFailure("cannot make the gate's certificates: the process did not answer with JSON") from error
    return made


class Trust:
    """The certificates of a gate. `valid` is in seconds of the wall clock, which clients use to verify them."""

    def __init__(
        self,
        paths: Paths,
        places: Places,
        clock: Callable[[], float] = time.time,
        maker: Callable[[Paths, Wanted], Awaitable[Made]] = make,
    ) -> None:
        self._paths, self._places, self._clock, self._maker = paths, places, clock, maker
        self.valid = 365 * 86400.0
        self._names: tuple[str, ...] = ()
        self._stores: TrustStores | None = None
        self._since = 0.0
        self._authorities: tuple[str, ...] = ()  # PEM, all that are trusted
        self._waiting: tuple[float, Mapping[str, str]] | None = None  # time and leaves: trusted, but not in use by the gate

    async def begin(self, names: Iterable[str]) -> None:
        """Makes the certificates and adds their CA to the bundle. The gate itself keeps the bundle without it.

        Raises SystemFailure.
        """
        self._names = tuple(names)
        trusted = self._paths.ca_bundle.read_text()
        stores = self._stores = TrustStores(self._paths, trusted)
        system.write(self._places.authorities, trusted, mode=0o600)
        self._places.certificates.mkdir(mode=0o700, exist_ok=True)
        authority, _ = await self._make()
        system.write(self._paths.trusted, trusted + authority)
        system.bind(self._paths.trusted, self._paths.ca_bundle)
        stores.write([authority])
        self._authorities = (authority,)
        self.in_use()

    def without_gate(self) -> None:
        """Writes the stores of runtimes for a sandbox whose gate terminates no TLS. Raises SystemFailure."""
        TrustStores(self._paths, self._paths.ca_bundle.read_text()).write([])

    @property
    def due(self) -> bool:
        """True if the certificates are due for renewal, or the clock was set to a time close to or before their start."""
        return bool(self._names) and not self._good(self._since)

    def _good(self, since: float) -> bool:
        age = self._clock() - since
        return -SKEW / 2 < age < self.valid * RENEW_AFTER

    async def renew(self) -> Mapping[str, str]:
        """Makes new certificates with another CA, which is trusted in addition to the old one. Returns the leaves by file.

        Returns the same ones until `in_use` is called. Raises SystemFailure; the old ones stay trusted.
        """
        if self._waiting is not None and self._good(self._waiting[0]):
            return self._waiting[1]
        now = self._clock()
        authority, leaves = await self._make()
        if self._stores is not None:
            self._stores.write([*self._authorities, authority])
        try:
            with self._paths.trusted.open("ab", buffering=0) as bundle:
                before = os.fstat(bundle.fileno()).st_size
                if bundle.write(authority.encode()) != len(authority):  # one write, so readers always see the old part whole
                    bundle.truncate(before)
                    raise SystemFailure("cannot add the new CA to the bundle: no space left")
        except OSError as error:
            raise SystemFailure(f"cannot add the new CA to the bundle: {error.strerror or error}") from error
        self._authorities = (*self._authorities, authority)
        self._waiting = now, leaves
        return leaves

    def in_use(self) -> None:
        """Records that the gate uses the latest certificates. Until then, `due` stays true."""
        self._since = self._waiting[0] if self._waiting is not None else self._clock()
        self._waiting = None

    async def _make(self) -> tuple[str, dict[str, str]]:
        made = await self._maker(self._paths, {"names": self._names, "seconds": self.valid, "skew": SKEW})
        leaves = {str(self._places.certificates / f"{name}.pem"): leaf for name, leaf in made["leaves"].items()}
        for file, leaf in leaves.items():
            system.write(Path(file), leaf, mode=0o600)
        return OURS + made["authority"], leaves
