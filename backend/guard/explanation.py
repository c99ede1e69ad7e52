"""What the guard knows of a name or an address, for `codetainer explain` (backend/supervision/explanation.py words it)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from backend.contract.events import Reason
from backend.guard.openings import Openings
from network.firewall import elements
from network.firewall.packets import Packet

TLS_PORT = 443  # stands for all ports if none is asked for and none is open
NOT_RESOLVED = "not resolved yet"


def is_address(host: str) -> bool:
    """True if a host is an address, not a name."""
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def about_address(address: str, port: int, openings: Openings, reason: Callable[[Packet, str], Reason]) -> dict[str, Any]:
    """`ports`: the open ports (only `port`, unless it is 0), each with `port`, `set`, `seconds` left and `names`.

    `set` is that of the firewall. `reason`: why the firewall refuses the port (0: the other ports, or all of them). `name`: the
    last one of the address. The argument `reason` returns that for a packet; its second argument is the name.
    """
    ports = []
    for name_of_set in elements.SETS:
        for (of_set, at, number), opening in openings.open.items():
            left = opening.until - openings.clock()
            if (of_set, at) == (name_of_set, address) and port in (0, number) and left > 0:
                ports.append({"port": number, "set": name_of_set, "seconds": int(left), "names": sorted(opening.names)})
    name = openings.last_names.get(address, "")
    tried = port or (0 if ports else TLS_PORT)
    packet = Packet(6 if ":" in address else 4, "tcp", "", address, 0, tried)
    return {"ports": ports, "reason": str(reason(packet, name)), "name": name}


def addresses_of(name: str, openings: Openings) -> list[str]:
    """The open addresses of a name."""
    now = openings.clock()
    return sorted({at for (_, at, _), opening in openings.open.items() if opening.until > now and name in opening.names})
