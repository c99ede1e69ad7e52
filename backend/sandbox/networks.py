"""The network that the sandbox is connected to: a pretend internet, this machine's network, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from backend import settings, system
from backend.sandbox import namespaces
from backend.sandbox.namespaces import Namespace
from backend.sandbox.nat import Nat, resolvers
from backend.sandbox.options import Net, Options
from backend.sandbox.outside import Outside
from backend.sandbox.pasta import UserNetwork

# Used in place of real credentials with --net none and --net pretend.
DUMMIES: Mapping[str, str] = {"GH_PAT": "ghp_pretend", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-pretend"}


class Network(Protocol):
    """One kind of network.

    `environment` holds the settings that go with it, `resolvers` the addresses for resolv.conf, and `certificate` a CA in PEM
    format to trust inside.
    """

    environment: Mapping[str, str]
    resolvers: tuple[str, ...]
    certificate: bytes

    def start(self) -> None:
        """Called before the sandbox is created. Raises OSError and SystemFailure."""

    def connect(self, sandbox: int) -> None:
        """Connects the sandbox. `sandbox` is the pid of its first process. Raises OSError and SystemFailure."""

    def way_in(self, sandbox: int) -> tuple[tuple[str, ...], str]:
        """The way from this machine to the sandbox's ports: a command to put before ssh, and the address."""

    def failed(self) -> str:
        """The name of a part that has ended unexpectedly, "" if all are running."""

    def end(self) -> None: ...


def chosen(options: Options, outside: Outside | None = None) -> Network:
    """The network that the options select; without root, `outside` carries that of the machine.

    Raises DescriptionError, OSError and SystemFailure.
    """
    match options.net:
        case Net.NONE:
            return Nothing()
        case Net.NAT if outside is not None:
            return UserNetwork(outside)
        case Net.NAT:
            return Machine()
        case Net.PRETEND:
            from backend.sandbox.pretend.network import Pretend  # its servers are not imported for another network

            return Pretend(options.pretend, options.pretend_log)


class Nothing:
    def __init__(self) -> None:
        self.environment: Mapping[str, str] = {**DUMMIES, "CODETAINER_UPSTREAM": "192.0.2.53"}
        self.resolvers: tuple[str, ...] = ()
        self.certificate = b""

    def start(self) -> None: ...

    def connect(self, sandbox: int) -> None:
        system.run([*namespaces.nsenter(sandbox, Namespace.NET), "--", "ip", "link", "set", "lo", "up"])

    def way_in(self, sandbox: int) -> tuple[tuple[str, ...], str]:
        return tuple(namespaces.nsenter_from_machine(sandbox, Namespace.NET)), "127.0.0.1"

    def failed(self) -> str:
        return ""

    def end(self) -> None: ...


class Machine:
    def __init__(self) -> None:
        self.environment: Mapping[str, str] = {}
        upstream = settings.environment().get("CODETAINER_UPSTREAM")
        self.resolvers: tuple[str, ...] = () if upstream else resolvers()
        self.certificate = b""
        self._nat: Nat | None = None

    def start(self) -> None: ...

    def connect(self, sandbox: int) -> None:
        self._nat = Nat()
        self._nat.connect(sandbox)

    def way_in(self, sandbox: int) -> tuple[tuple[str, ...], str]:
        assert self._nat is not None
        return (), self._nat.sandbox

    def failed(self) -> str:
        return ""

    def end(self) -> None:
        if self._nat is not None:
            self._nat.end()
