"""The pretend internet as the network that a sandbox is connected to (backend/sandbox/networks.py)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from backend.sandbox import namespaces
from backend.sandbox.namespaces import Namespace
from backend.sandbox.networks import DUMMIES
from backend.sandbox.pretend import description, process
from backend.sandbox.pretend.certificates import Authority


class Pretend:
    def __init__(self, file: Path | None, log: Path | None) -> None:
        self._description = description.load(file or description.SHIPPED)
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
        return tuple(namespaces.nsenter_from_machine(self._process.pid, Namespace.NET)), process.SANDBOX

    def failed(self) -> str:
        return "" if self._process.pid == 0 or self._process.ended() is None else "the pretend internet"

    def end(self) -> None:
        self._process.end(0)
