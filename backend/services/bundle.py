"""The services of a sandbox, each in a module of its own. All have one shape: `service` is the process that is kept running,
`change` puts another allowlist into effect (of those that have one).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from backend.contract.events import Event, ServiceState
from backend.contract.paths import Paths
from backend.services.coredns import CoreDns
from backend.services.exporter import Exporter
from backend.services.gate import Gate
from backend.services.guard import Guard
from backend.services.service import Service
from backend.services.sshd import Sshd


class Services:
    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self.coredns = CoreDns(paths, emit)
        self.guard = Guard(paths, emit)
        self.gate = Gate(paths, emit)
        self.sshd = Sshd(paths, emit)
        self.exporter = Exporter(paths, emit)

    @property
    def kept(self) -> tuple[Service, ...]:
        """The services that the protections rest on: the gate only if one was started."""
        gate = self.gate.service
        started = (gate,) if gate.state is not ServiceState.STOPPED else ()
        return (self.coredns.service, self.guard.service, *started)

    async def stop(self) -> None:
        """Ends what the agent needs. sshd and the metrics stay: they are the operator's."""
        await asyncio.gather(*(each.service.stop() for each in (self.coredns, self.guard, self.gate)))
