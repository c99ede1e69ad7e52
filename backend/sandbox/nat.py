"""A way out for `--net nat`: a veth pair to this machine's network, and masquerading that the kernel takes away with us.

The table has the flag `owner` (nft(8)): it belongs to the netlink socket that made it, so a kill -9 leaves no rule. Forwarding
is a setting of the machine's that no one owns; a keeper process outlives us by the moment it takes to put it back.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from backend import system
from backend.guard.nftables import Nftables

HERE, SANDBOX, PREFIX = "10.213.0.1", "10.213.0.2", 30  # private; the machine's own, not the agent's list
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
# The sandbox's packets, and answers to them, are let through whatever the machine's own forward policy is not about.
TABLE = f"""\
table ip codetainer_nat {{
  flags owner
  chain masquerade {{ type nat hook postrouting priority 100; ip saddr {SANDBOX} masquerade; }}
}}
"""


class Nat:
    """Holds the library's context, and with it the table, for as long as it lives."""

    def __init__(self, sandbox: int) -> None:
        self._nft = Nftables()
        self._nft.run(TABLE)
        name = f"ct{os.getpid()}"
        system.run(["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(sandbox)])
        system.run(["ip", "address", "add", f"{HERE}/{PREFIX}", "dev", name])
        system.run(["ip", "link", "set", name, "up"])
        within = ["nsenter", f"--net=/proc/{sandbox}/ns/net", "--", "ip"]
        system.run([*within, "link", "set", "lo", "up"])
        system.run([*within, "address", "add", f"{SANDBOX}/{PREFIX}", "dev", "eth0"])
        system.run([*within, "link", "set", "eth0", "up"])
        system.run([*within, "route", "add", "default", "via", HERE])
        self._forward()

    def _forward(self) -> None:
        before = FORWARDING.read_text()
        if before.strip() == "1":
            return
        reading, writing = os.pipe()
        if os.fork() == 0:
            # The keeper: the pipe ends when we do, however that is.
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.close(writing)
            os.read(reading, 1)
            FORWARDING.write_text(before)
            os._exit(0)
        os.close(reading)
        os.set_inheritable(writing, False)
        self._pipe = writing  # closed with this process, not before
        FORWARDING.write_text("1\n")
