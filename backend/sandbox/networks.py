"""The network that the sandbox is connected to: a pretend internet, this machine's network, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from backend import settings, system
from backend.sandbox.nat import Nat, resolvers
from backend.sandbox.options import Net, Options
from backend.sandbox.pretend import description, process
from backend.sandbox.pretend.certificates import Authority

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


def chosen(options: Options) -> Network:
    """The network that the options select. Raises DescriptionError, OSError and SystemFailure."""
    match options.net:
        case Net.NONE:
            return Nothing()
        case Net.NAT:
            return Machine()
        case Net.PRETEND:
            return Pretend(options.pretend or description.SHIPPED, options.pretend_log)


class Nothing:
    def __init__(self) -> None:
        self.environment: Mapping[str, str] = {**DUMMIES, "CODETAINER_UPSTREAM": "192.0.2.53"}
        self.resolvers: tuple[str, ...] = ()
        self.certificate = b""

    def start(self) -> None: ...

    def connect(self, sandbox: int) -> None:
        system.run(["nsenter", f"--net=/proc/{sandbox}/ns/net", "--", "ip", "link", "set", "lo", "up"])

    def way_in(self, sandbox: int) -> tuple[tuple[str, ...], str]:
        return ("nsenter", f"--net=/proc/{sandbox}/ns/net"), "127.0.0.1"

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


class Pretend:
    def __init__(self, file: Path, log: Path | None) -> None:
        self._description = description.load(file)
        self._authority = Authority()
        self._process = process.new()
        self._log = log
        environment = {**DUMMIES, "CODETAINER_UPSTREAM": self._description.resolver, "CODETAINER_PRETEND": "on"}
        if self._description.repo_url:
            environment["REPO_URL"] = self._description.repo_url
        self.environment: Mapping[str, str] = environment
        self.resolvers: tuple[str, ...] = (self._description.resolver,)
        self.certificate = self._authority.pem

    def start(self) -> None:
        record = -1
        if self._log is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            record = os.dup(2) if str(self._log) == "-" else os.open(self._log, flags, 0o600)
        try:
            process.start(self._process, self._description, record, self._authority)
        finally:
            if record >= 0:
                os.close(record)

    def connect(self, sandbox: int) -> None:
        process.connect(self._process.pid, sandbox)

    def way_in(self, sandbox: int) -> tuple[tuple[str, ...], str]:
        """Leads through the pretend internet, because this machine has no route to the sandbox."""
        return ("nsenter", f"--net=/proc/{self._process.pid}/ns/net"), process.SANDBOX

    def failed(self) -> str:
        return "" if self._process.pid == 0 or self._process.ended() is None else "the pretend internet"

    def end(self) -> None:
        self._process.end(0)
