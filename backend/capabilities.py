"""The Linux capabilities that boot needs, and the error if the container engine has not granted one.

Measured by dropping all capabilities and adding them one by one (docs/image.md). The agent gets none of them.
"""

from __future__ import annotations

from backend.contract.immutable import dataclass
from backend.system import SystemFailure


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability. `number` is from linux/capability.h; `purpose` completes "is needed for"."""

    name: str
    number: int
    purpose: str


NEEDED = (
    Capability("CHOWN", 0, "files that only the agent may read"),
    Capability("KILL", 5, "stopping and freezing the processes of other users"),
    Capability("SETGID", 6, "running each service as a user of its own"),
    Capability("SETUID", 7, "running each service as a user of its own"),
    Capability("SETPCAP", 8, "dropping all capabilities of the agent"),
    Capability("NET_BIND_SERVICE", 10, "the ports of CoreDNS, guard and gate"),
    Capability("NET_ADMIN", 12, "the firewall"),
    Capability("SYS_CHROOT", 18, "the gate's empty root"),
    Capability("SYS_PTRACE", 19, "seeing the agent's processes once /proc hides them"),
    Capability("SYS_ADMIN", 21, "the in-memory file systems and the read-only root"),
)


# Needed only by sshd, which closes terminal logins that it cannot write to the kernel's audit log (audit-linux.c).
AUDIT_WRITE = Capability("AUDIT_WRITE", 29, "logins at a terminal over ssh")


class CapabilitiesMissing(SystemFailure):
    """Capabilities are missing. The message lists all of them, the hint has the command line options that grant them."""


def missing(status: str) -> tuple[Capability, ...]:
    """The capabilities of NEEDED that a process lacks, by its /proc/PID/status (proc(5): CapEff, in hexadecimal)."""
    return tuple(capability for capability in NEEDED if not has(status, capability))


def has(status: str, capability: Capability) -> bool:
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(effective >> capability.number & 1)


def require(status: str) -> None:
    """Raises CapabilitiesMissing if the process with this /proc/PID/status lacks one of NEEDED."""
    lacking = missing(status)
    if lacking:
        named = "".join(f"\n  CAP_{capability.name}: {capability.purpose}" for capability in lacking)
        flags = " ".join(f"--cap-add {capability.name}" for capability in lacking)
        raise CapabilitiesMissing(
            f"cannot boot: {len(lacking)} {'capability is' if len(lacking) == 1 else 'capabilities are'} missing{named}",
            f"Start the container with {flags}.",
        )
