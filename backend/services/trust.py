"""The gate's certificates: for the hosts whose TLS terminates there, trusted inside the sandbox, renewed before they expire.

All that are known at boot share one CA. Its key is discarded, so a host that the operator opens later gets a CA of its own,
whose constraints name only that host. Programs that were started before do not know it. So in a learning run a CA without
constraints is trusted from boot, for the names that the run opens (signer.py).

A bundle in memory, with the gate's CA at its end, is mounted over the system's bundle. That works on a read-only root, leaves
the image unchanged, and allows another CA to be added later. Runtimes with their own stores: trust_stores.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backend import system
from backend.contract.paths import Paths
from backend.services.trust_stores import TrustStores
from backend.system import SystemFailure
from network.gate import haproxy
from network.gate.haproxy import Places

if TYPE_CHECKING:
    from backend.services.certificates import Made, Wanted
    from backend.services.signer import Signer

RENEW_AFTER = 2 / 3  # of the validity
SKEW = 86400.0  # seconds; the validity starts this long before the certificates are made
OURS = "# A CA of this sandbox's gate. Its key was discarded.\n"
MAKE_SECONDS = 20.0


async def warm(paths: Paths) -> asyncio.subprocess.Process:
    """Starts a process that makes certificates as soon as `make` sends it the names. Raises SystemFailure."""
    pipe = asyncio.subprocess.PIPE
    return await system.spawn([str(paths.python), "-I", "-m", "backend", "certificates"], stdin=pipe, stdout=pipe)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends a process that was started for nothing."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def make(paths: Paths, wanted: Wanted, process: asyncio.subprocess.Process | None = None) -> Made:
    """Makes certificates in a separate process (backend/services/certificates.py explains why). Raises SystemFailure."""
    process = process or await warm(paths)
    try:
        async with asyncio.timeout(MAKE_SECONDS):
            answer, _ = await process.communicate(json.dumps(wanted).encode())
    except TimeoutError as error:
        await _end(process)
        raise SystemFailure(f"cannot make the gate's certificates within {MAKE_SECONDS:g} s") from error
    if process.returncode != 0:
        raise SystemFailure(f"cannot make the gate's certificates: the process ended with code {process.returncode}")
    try:
        made: Made = json.loads(answer)
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
        maker: Callable[[Paths, Wanted, asyncio.subprocess.Process | None], Awaitable[Made]] = make,
    ) -> None:
        self._paths, self._places, self._clock, self._maker = paths, places, clock, maker
        self.valid = 365 * 86400.0
        self._names: tuple[str, ...] = ()
        self._warm: asyncio.subprocess.Process | None = None
        self._stores: TrustStores | None = None
        self._since = 0.0
        self._authorities: tuple[str, ...] = ()  # PEM, all that are trusted
        self.signer: Signer | None = None  # set before `begin`, in a learning run
        self._signed_by = ""  # PEM of the signer's CA
        self._waiting: tuple[float, Mapping[str, str]] | None = None  # time and leaves: trusted, but not in use by the gate

    async def prepare(self) -> None:
        """Starts the process for `begin`, so that it is ready when the names are known. Raises SystemFailure."""
        self._warm = await warm(self._paths)

    async def begin(self, names: Iterable[str]) -> None:
        """Makes the certificates and adds their CA to the bundle; none without names. The gate itself keeps the old bundle.

        Raises SystemFailure.
        """
        self._names = tuple(names)
        trusted = self._paths.ca_bundle.read_text()
        stores = self._stores = TrustStores(self._paths, trusted)
        system.write(self._places.authorities, trusted, mode=0o600)
        self._places.certificates.mkdir(mode=0o700, exist_ok=True)
        authorities: tuple[str, ...] = ()
        if self._names:
            authorities = ((await self._make(self._names))[0],)
        elif self._warm is not None:
            await _end(self._warm)
            self._warm = None
        if self.signer is not None:
            self._signed_by, _ = await self._sign(())
            authorities = (*authorities, self._signed_by)
        system.write(self._paths.trusted, trusted + "".join(authorities))
        system.bind(self._paths.trusted, self._paths.ca_bundle)
        stores.write(authorities)
        self._authorities = authorities
        self._list()
        self.in_use()

    @property
    def begun(self) -> bool:
        return self._stores is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The names with a certificate."""
        return self._names

    def missing_in(self, installed: Collection[str]) -> tuple[str, ...]:
        """The names with a certificate that is not among the installed ones."""
        return tuple(name for name in self._names if name not in installed)

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names among these that have no certificate."""
        return tuple(name for name in names if name not in self._names)

    async def add(self, names: tuple[str, ...]) -> None:
        """Makes certificates for more names, with a CA of their own. Raises SystemFailure."""
        authority, _ = await self._make(names)
        self._trust(authority)
        self._names = (*self._names, *names)
        self._list()

    async def sign(self, names: tuple[str, ...]) -> None:
        """Makes certificates for names that a learning run opens, with its CA. Raises SystemFailure."""
        authority, _ = await self._sign(names)
        if authority != self._signed_by:  # the signer has ended, and begun with a new CA
            self._trust(authority)
            self._signed_by = authority
        self._names = (*self._names, *names)
        self._list()

    async def _sign(self, names: tuple[str, ...]) -> tuple[str, dict[str, str]]:
        if self.signer is None:
            raise SystemFailure("cannot sign certificates: this is no learning run")
        return self._keep(await self.signer.sign({"names": names, "seconds": self.valid, "skew": SKEW}))

    def _list(self) -> None:
        """Writes HAProxy's list of certificates."""
        lines = (f"{haproxy.certificate_line(self._places, name)}\n" for name in self._names)
        system.write(self._places.certificate_list, "".join(lines), mode=0o600)

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
        authority, leaves = await self._make(self._names)
        self._trust(authority)
        self._waiting = now, leaves
        return leaves

    def _trust(self, authority: str) -> None:
        """Adds a CA to the bundle and all stores. Raises SystemFailure."""
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

    def in_use(self) -> None:
        """Records that the gate uses the latest certificates. Until then, `due` stays true."""
        self._since = self._waiting[0] if self._waiting is not None else self._clock()
        self._waiting = None

    async def _make(self, names: tuple[str, ...]) -> tuple[str, dict[str, str]]:
        process, self._warm = self._warm, None
        return self._keep(await self._maker(self._paths, {"names": names, "seconds": self.valid, "skew": SKEW}, process))

    def _keep(self, made: Made) -> tuple[str, dict[str, str]]:
        """Writes the certificates; returns the CA, and the certificates by file."""
        leaves = {str(self._places.certificate(name)): leaf for name, leaf in made["leaves"].items()}
        for file, leaf in leaves.items():
            system.write(Path(file), leaf, mode=0o600)
        return OURS + made["authority"], leaves
