"""Opens the firewall for senders of notifications."""

from __future__ import annotations

from collections.abc import Sequence

from backend import system
from network.firewall import elements
from network.firewall.elements import NOTIFY, Element


async def open_for(addresses: Sequence[str], port: int, seconds: int) -> None:
    """Opens a port of these addresses for the senders' uid, for some seconds. Raises SystemFailure."""
    new = [Element(address, port, seconds) for address in addresses]
    await system.run_async(["nft", "-f", "-"], input=elements.add(NOTIFY, new))
