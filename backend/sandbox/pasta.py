"""The network of `--net nat` without root: pasta, or slirp4netns, carries the sandbox's connections as ones of the user.

pasta's defaults would open the machine's loopback to the sandbox: it listens inside on every port that is in use on the
machine's 127.0.0.1, and maps the gateway's address to it. OPTIONS prevents both. The self-test looks for such listeners, and
`connect` tests the gateway's address.
"""

from __future__ import annotations

import ipaddress
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from backend import settings, system
from backend.sandbox import machine_loopback, namespaces
from backend.sandbox.namespaces import Namespace
from backend.sandbox.nat import RESOLV_CONF, nameservers, resolvers
from backend.sandbox.outside import Outside
from backend.system import SYSTEM_PATH, SystemFailure
from network.dns import resolv_conf

LINK = "eth0"
OPTIONS = ("--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none")
FORWARDED = "169.254.1.1"  # inside: stands for the machine's resolver on loopback (the address that Podman uses for pasta)
SLIRP_FORWARDED = "10.0.2.3"  # the same, fixed by slirp4netns
SECONDS = 10.0
POLL_SECONDS = 0.01
INSTALL = "Run apt-get install passt."
OPEN = "Install another version of passt."
TUN = "Check that you may read and write /dev/net/tun, and that this machine has an IPv4 default route."


def program() -> Path | None:
    """pasta, else slirp4netns, else None."""
    found = shutil.which("pasta", path=SYSTEM_PATH) or shutil.which("slirp4netns", path=SYSTEM_PATH)
    return Path(found) if found else None


def is_pasta(chosen: Path) -> bool:
    return chosen.name == "pasta"


def command(chosen: Path, sandbox: int, *, forward: bool) -> list[str]:
    """The command that connects the process `sandbox`; with `forward`, to the machine's resolver on loopback, too."""
    if is_pasta(chosen):
        dns = ["--dns-forward", FORWARDED] if forward else []
        return [str(chosen), "-f", "-q", "-4", "--config-net", *OPTIONS, *dns, "-I", LINK, str(sandbox)]
    return [
        str(chosen), "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp",
        *([] if forward else ["--disable-dns"]), f"--userns-path=/proc/{sandbox}/ns/user", str(sandbox), LINK,
    ]  # fmt: skip


def on_loopback(text: str) -> bool:
    """True if resolv.conf lists only resolvers on the machine's loopback."""
    addresses = resolv_conf.parse(text).nameservers
    return bool(addresses) and all(ipaddress.IPv4Address(address).is_loopback for address in addresses)


def default_gateway(text: str) -> str | None:
    """The gateway of the default route through LINK (destination and mask 0, flag 1: up) in a text of /proc/PID/net/route.

    "0.0.0.0" for a link without a gateway, None without such a route.
    """
    fields = (line.split() for line in text.splitlines()[1:])
    for f in fields:
        if len(f) > 7 and f[0] == LINK and f[1] == f[7] == "00000000" and int(f[3], 16) & 1:
            return socket.inet_ntoa(int(f[2], 16).to_bytes(4, sys.byteorder))  # in the machine's byte order, as it is in memory
    return None


class UserNetwork:
    """This machine's network for a user's sandbox. `outside` becomes the program that carries the connections."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        chosen = program()
        if chosen is None:
            raise SystemFailure("cannot connect the sandbox: neither pasta nor slirp4netns is installed", INSTALL)
        self._program = chosen
        self.environment: Mapping[str, str] = {}
        self.certificate = b""
        self._connected = self._forward = False
        self.resolvers: tuple[str, ...] = ()
        if not settings.environment().get("CODETAINER_UPSTREAM"):
            self.resolvers = self._resolvers()

    def _resolvers(self) -> tuple[str, ...]:
        text = RESOLV_CONF.read_text(errors="replace") if RESOLV_CONF.exists() else ""
        if addresses := nameservers(text):
            return addresses
        if on_loopback(text):
            self._forward = True
            return (FORWARDED if is_pasta(self._program) else SLIRP_FORWARDED,)
        return resolvers()

    def start(self) -> None: ...

    def connect(self, sandbox: int) -> None:
        """Connects the sandbox, and returns when it has a default route. Raises OSError and SystemFailure."""
        system.run([*namespaces.nsenter(sandbox, Namespace.NET), "--", "ip", "link", "set", "lo", "up"])
        self._outside.become(command(self._program, sandbox, forward=self._forward))
        routes, deadline = Path(f"/proc/{sandbox}/net/route"), time.monotonic() + SECONDS
        while (gateway := default_gateway(routes.read_text())) is None:
            if self._outside.ended():
                raise SystemFailure(f"cannot connect the sandbox: {self._program.name}: {self._outside.reason()}", TUN)
            if time.monotonic() > deadline:
                raise SystemFailure(f"cannot connect the sandbox: {self._program.name} is not ready after {SECONDS:g} s", TUN)
            time.sleep(POLL_SECONDS)
        if gateway != "0.0.0.0" and machine_loopback.reached(sandbox, gateway):
            raise SystemFailure(
                f"cannot connect the sandbox: {self._program.name} opens this machine's loopback at {gateway}", OPEN
            )
        self._connected = True

    def way_in(self, sandbox: int) -> tuple[tuple[str, ...], str]:
        return tuple(namespaces.nsenter_from_machine(sandbox, Namespace.NET)), "127.0.0.1"

    def failed(self) -> str:
        return f"{self._program.name} ({self._outside.reason()})" if self._connected and self._outside.ended() else ""

    def end(self) -> None:
        self._outside.end()
