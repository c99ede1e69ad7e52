"""The services of a sandbox, each in its own module. `service` is the supervised process; `change` applies a new allowlist."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from backend.contract.events import Event, ServiceState
from backend.contract.paths import Paths
from backend.services.coredns import CoreDns
from backend.services.exporter import Exporter
from backend.services.gate import Gate
from backend.services.guard import Guard
from backend.services.reader import Reader
from backend.services.service import Service
from backend.services.sshd import Sshd


class Services:
    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self.coredns = CoreDns(paths, emit)
        self.guard = Guard(paths, emit)
        self.gate = Gate(paths, emit)
        self.reader = Reader(paths, self.gate, emit)
        self.sshd = Sshd(paths, emit)
        self.exporter = Exporter(paths, emit)

    @property
    def kept(self) -> tuple[Service, ...]:
        """The services that the protections depend on: CoreDNS, the guard, and the gate and its reader if they were started."""
        started = (each for each in (self.gate.service, self.reader.service) if each.state is not ServiceState.STOPPED)
        return (self.coredns.service, self.guard.service, *started)

    async def stop(self) -> None:
        """Stops the services that the agent uses. sshd and the metrics stay up for the operator."""
        await asyncio.gather(*(each.service.stop() for each in (self.coredns, self.guard, self.gate, self.reader)))
