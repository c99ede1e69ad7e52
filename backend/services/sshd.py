"""sshd, as the supervisor keeps it: for sandboxes whose platform brings no way in of its own. Runs only where there are keys.

It is root's way in, so nothing of it is within the agent's reach: its files are root's own, its port is refused to everybody
inside (network/firewall/ruleset.py), and a process that takes the port while it is down answers nobody. It stays up when boot
halts: an operator who has to find out why needs a way in.
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
from backend.services.service import Announced, Word
from backend.system import SystemFailure
from network.ssh import authorized_keys, sshd
from network.ssh.authorized_keys import HostKey
from network.ssh.sshd import LogEvent, Places

TEMPLATE = sshd.TEMPLATE.read_text(encoding="utf-8")
PROGRAM = Path("/usr/sbin/sshd")  # it executes itself for each connection and wants its whole path
NETLINK_AUDIT = 9  # linux/netlink.h
MEANING = {LogEvent.LISTENING: Word.READY, LogEvent.NOT_LISTENING: Word.NEVER, LogEvent.OTHER: Word.LAST}
TOLD_SECONDS = 60.0  # who is turned away is counted, and told at most so often


class Sshd:
    """The service and what it has said."""

    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._paths, self._emit = paths, emit
        self._places = Places(paths.ssh)
        self.service = Announced("sshd", self._spawn, self._heard, emit)
        self._key: HostKey | None = None
        self._port = 0
        self._turned_away = 0
        self._told_at = 0.0

    async def open(self, keys: Sequence[str], port: int) -> HostKey:
        """Starts it; returns its host key when it listens. Raises SystemFailure and OSError."""
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
                "cannot start sshd: root's account is locked in /etc/shadow, so it would refuse every key",
                "Run usermod -p '*' root: no password matches that, and keys still work.",
            )
        self._paths.sshd.mkdir(mode=0o755, exist_ok=True)  # the image has it; where /run is a fresh tmpfs it is made here
        self._places.folder.mkdir(mode=0o700, exist_ok=True)
        self._key = self._key or authorized_keys.new_host_key()  # a second boot keeps what was pinned
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

    def _heard(self, line: str) -> Word:
        """It is ready when it says that it listens: who answers at its port may be somebody else."""
        said, words = sshd.parse_line(line)
        if said is LogEvent.ACCEPTED:
            self._emit(Noted("info", f"ssh: login from {words}"))
        elif said is LogEvent.TURNED_AWAY:
            self._turned_away += 1
        self._tell()
        return MEANING.get(said, Word.NOTHING)

    def _tell(self) -> None:
        now = time.monotonic()
        if self._turned_away and now - self._told_at >= TOLD_SECONDS:
            self._emit(Noted("info", f"ssh: turned away without a key: {self._turned_away}"))
            self._turned_away, self._told_at = 0, now


def audited() -> bool:
    """Whether this kernel keeps an audit log, which sshd then wants to write to (audit-linux.c: audit_open)."""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT).close()
    except OSError:
        return False
    return True


def may_audit() -> bool:
    """Whether sshd may write to it: it has what this process has."""
    return capabilities.has(Path("/proc/self/status").read_text(), capabilities.AUDIT_WRITE)


def locked(shadow: str) -> bool:
    """Whether root's account is locked (shadow(5): a password that begins with `!`), which sshd takes for a no to keys too."""
    return any(line.startswith("root:!") for line in shadow.splitlines())
