"""Supervises sshd, for sandboxes whose platform has no login of its own. Runs only if the operator set keys.

It logs in as root, so it is out of the agent's reach: only root can read its files, the firewall refuses its port to processes
inside (network/firewall/ruleset.py), and a process that takes the port while sshd is down cannot answer. It stays up when boot
halts, so that the operator can find out why.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from backend import capabilities, system
from backend.contract.events import Event, Noted, SshOpened
from backend.contract.paths import Paths
from backend.services.service import Announced, StartSignal
from backend.system import SystemFailure
from network.ssh import authorized_keys, sshd
from network.ssh.authorized_keys import HostKey
from network.ssh.sshd import LogEvent, Places

TEMPLATE = sshd.TEMPLATE.read_text(encoding="utf-8")
PROGRAM = Path("/usr/sbin/sshd")  # absolute, because sshd re-executes itself for each connection
NETLINK_AUDIT = 9  # linux/netlink.h
SIGNALS = {
    LogEvent.LISTENING: StartSignal.READY,
    LogEvent.NOT_LISTENING: StartSignal.FAILED,
    LogEvent.OTHER: StartSignal.REASON,
}
REPORT_SECONDS = 60.0  # between two reports of rejected clients


class Sshd:
    """The service, its host key, and the number of rejected clients."""

    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._paths, self._emit = paths, emit
        self._places = Places(paths.ssh)
        self.service = Announced("sshd", self._spawn, self._interpret, emit)
        self._key: HostKey | None = None
        self._port = 0
        self._rejected = 0
        self._reported_at = 0.0

    async def open(self, keys: Sequence[str], port: int) -> HostKey:
        """Starts sshd; returns its host key when it listens. Raises SystemFailure and OSError."""
        self._prepare(keys, port)
        assert self._key is not None
        await self.service.start()
        self._emit(SshOpened(port, len(keys), self._key.public, self._key.fingerprint))
        return self._key

    def _prepare(self, keys: Sequence[str], port: int) -> None:
        if not PROGRAM.exists():
            raise SystemFailure("cannot start sshd: it is not installed", "Run apt-get install openssh-server.")
        if locked(self._shadow()):
            raise SystemFailure(
                "cannot start sshd: root's account is locked in /etc/shadow, so sshd would refuse every key",
                "Run usermod -p '*' root: no password matches '*', and keys still work.",
            )
        self._paths.sshd.mkdir(mode=0o755, exist_ok=True)  # exists in the image, but not if /run is a new tmpfs
        self._places.folder.mkdir(mode=0o700, exist_ok=True)
        self._key = self._key or authorized_keys.new_host_key()  # a second boot keeps the key that clients have pinned
        self._port = port
        system.write(self._places.host_key, self._key.private, mode=0o600)
        system.write(self._places.authorized_keys, "".join(f"{key}\n" for key in keys), mode=0o600)
        system.write(self._places.configuration, sshd.render(TEMPLATE, self._places, port), mode=0o600)

    def _shadow(self) -> str:
        try:
            return (self._paths.root / "etc/shadow").read_text()
        except FileNotFoundError:
            return ""

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await system.spawn(
            [str(PROGRAM), "-D", "-e", "-f", str(self._places.configuration)], environment={"PATH": system.SYSTEM_PATH},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    def _interpret(self, line: str) -> StartSignal:
        """Handles a log line. Only the line about listening counts as ready: another process could answer on the port."""
        event, text = sshd.parse_line(line)
        if event is LogEvent.ACCEPTED:
            self._emit(Noted("info", f"ssh: login from {text}"))
        elif event is LogEvent.REJECTED:
            self._rejected += 1
        self._report_rejected()
        return SIGNALS.get(event, StartSignal.NONE)

    def _report_rejected(self) -> None:
        now = time.monotonic()
        if self._rejected and now - self._reported_at >= REPORT_SECONDS:
            self._emit(Noted("info", f"ssh: connections without a valid key: {self._rejected}"))
            self._rejected, self._reported_at = 0, now


def audited() -> bool:
    """True if the kernel has an audit log; sshd then insists on writing to it (audit-linux.c: audit_open)."""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT).close()
    except OSError:
        return False
    return True


def may_audit() -> bool:
    """True if sshd may write to the audit log: it inherits the capabilities of this process."""
    return capabilities.has(Path("/proc/self/status").read_text(), capabilities.AUDIT_WRITE)


def locked(shadow: str) -> bool:
    """True if root's account is locked (shadow(5): a password that begins with `!`). sshd then refuses keys, too."""
    return any(line.startswith("root:!") for line in shadow.splitlines())
