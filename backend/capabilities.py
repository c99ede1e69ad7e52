"""What boot needs of root's rights, by capability, and what it says where an engine has not given one.

Measured: everything dropped, each given by itself (docs/image.md). The agent gets none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.system import SystemFailure


@dataclass(frozen=True, slots=True)
class Capability:
    """`number` as in linux/capability.h; `purpose` completes "is needed for"."""

    name: str
    number: int
    purpose: str


NEEDED = (
    Capability("CHOWN", 0, "files that the agent may read and nobody else"),
    Capability("KILL", 5, "stopping and freezing what runs under other users"),
    Capability("SETGID", 6, "running every part as a user of its own"),
    Capability("SETUID", 7, "running every part as a user of its own"),
    Capability("SETPCAP", 8, "taking every right from the agent"),
    Capability("NET_BIND_SERVICE", 10, "the ports of CoreDNS, guard and gate"),
    Capability("NET_ADMIN", 12, "the firewall"),
    Capability("SYS_CHROOT", 18, "the gate's empty root"),
    Capability("SYS_PTRACE", 19, "seeing the agent's processes once /proc hides them"),
    Capability("SYS_ADMIN", 21, "the file systems in memory and the read-only root"),
)


# Only where sshd runs: it ends a login at a terminal that it cannot tell the kernel's audit log of (audit-linux.c).
AUDIT_WRITE = Capability("AUDIT_WRITE", 29, "logins at a terminal over ssh")


class CapabilitiesMissing(SystemFailure):
    """Some of them are not there: all are named at once, and the command line that gives them."""


def missing(status: str) -> tuple[Capability, ...]:
    """Those of NEEDED that a process has not, by its /proc/PID/status (proc(5): CapEff, in hexadecimal)."""
    return tuple(capability for capability in NEEDED if not has(status, capability))


def has(status: str, capability: Capability) -> bool:
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(effective >> capability.number & 1)


def require(status: str) -> None:
    """Raises CapabilitiesMissing."""
    lacking = missing(status)
    if lacking:
        named = "".join(f"\n  CAP_{capability.name}: {capability.purpose}" for capability in lacking)
        flags = " ".join(f"--cap-add {capability.name}" for capability in lacking)
        raise CapabilitiesMissing(
            f"cannot boot: {len(lacking)} of root's rights {'is' if len(lacking) == 1 else 'are'} missing{named}",
            f"start the container with {flags}",
        )
