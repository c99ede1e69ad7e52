"""That the sandbox trusts the gate: certificates made at boot for the hosts with a credential, and made again before they end.

The system's bundle is covered by one in memory that has the gate's authority at its end: that works where the root is read-only
from the start, leaves the image as it is, and lets an authority be added later.
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
from backend.system import SystemFailure
from network.gate.haproxy import Places

if TYPE_CHECKING:
    from backend.services.certificates import Made, Wanted

RENEW_AFTER = 2 / 3  # of their validity
SKEW = 86400.0  # seconds that certificates are valid before they are made
OURS = "# An authority of this sandbox's gate. Its key is gone.\n"
MAKE_SECONDS = 20.0


async def make(paths: Paths, wanted: Wanted) -> Made:
    """Certificates, by a process of their own (backend/services/certificates.py says why). Raises SystemFailure."""
    done = await system.run_async(
        [str(paths.python), "-I", "-m", "backend", "certificates"], input=json.dumps(wanted), timeout=MAKE_SECONDS, check=False
    )
    if done.code != 0:
        raise SystemFailure(f"cannot make the gate's certificates: {done.last_line}")
    try:
        made: Made = done.value()
    except ValueError as error:
        raise SystemFailure("cannot make the gate's certificates: their maker does not answer with JSON") from error
    return made


class Trust:
    """The certificates of one gate. `valid`: seconds, by the clock that whoever verifies them looks at, set or not."""

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
        self._since = 0.0
        self._waiting: tuple[float, Mapping[str, str]] | None = None  # made then, trusted, and not with the gate yet

    async def begin(self, names: Iterable[str]) -> None:
        """Makes the certificates and has everything inside trust them. The gate itself trusts what was trusted before.

        Raises SystemFailure.
        """
        self._names = tuple(names)
        trusted = self._paths.ca_bundle.read_text()
        system.write(self._places.authorities, trusted, mode=0o600)
        self._places.certificates.mkdir(mode=0o700, exist_ok=True)
        authority, _ = await self._make()
        system.write(self._paths.trusted, trusted + authority)
        system.bind(self._paths.trusted, self._paths.ca_bundle)
        self.in_use()

    @property
    def ends(self) -> bool:
        """Whether it is time for new ones: also where the clock was set to before they begin."""
        return bool(self._names) and not self._good(self._since)

    def _good(self, since: float) -> bool:
        age = self._clock() - since
        return -SKEW / 2 < age < self.valid * RENEW_AFTER

    async def renew(self) -> Mapping[str, str]:
        """New certificates, of an authority that is trusted beside the old one; by file, as the gate has to be given them.

        Until they are in use they stay the ones to give. Raises SystemFailure; the old ones are trusted as before.
        """
        if self._waiting is not None and self._good(self._waiting[0]):
            return self._waiting[1]
        now = self._clock()
        authority, leaves = await self._make()
        try:
            with self._paths.trusted.open("ab", buffering=0) as bundle:
                before = os.fstat(bundle.fileno()).st_size
                if bundle.write(authority.encode()) != len(authority):  # one write: readers find the old ones whole meanwhile
                    bundle.truncate(before)
                    raise SystemFailure("cannot have new certificates trusted: there is no room")
        except OSError as error:
            raise SystemFailure(f"cannot have new certificates trusted: {error.strerror or error}") from error
        self._waiting = now, leaves
        return leaves

    def in_use(self) -> None:
        """The gate speaks with the latest ones. Until that is said it is still time for new ones."""
        self._since = self._waiting[0] if self._waiting is not None else self._clock()
        self._waiting = None

    async def _make(self) -> tuple[str, dict[str, str]]:
        made = await self._maker(self._paths, {"names": self._names, "seconds": self.valid, "skew": SKEW})
        leaves = {str(self._places.certificates / f"{name}.pem"): leaf for name, leaf in made["leaves"].items()}
        for file, leaf in leaves.items():
            system.write(Path(file), leaf, mode=0o600)
        return OURS + made["authority"], leaves
