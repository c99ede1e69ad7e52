"""Starts sshd if the operator set keys, so that they can watch the boot and find out why it halted."""

from __future__ import annotations

from backend.boot.plan import StepFailed, StepSkipped, StepWarned
from backend.capabilities import AUDIT_WRITE
from backend.context import Boot
from backend.services import sshd


async def run(boot: Boot) -> str:
    settings = boot.settings
    if not settings.ssh_keys:
        raise StepSkipped("CODETAINER_SSH_KEYS is not set")
    try:
        key = await boot.services.sshd.open(settings.ssh_keys, settings.ssh_port)
    except OSError as error:
        raise StepFailed(
            f"cannot start sshd: {error}", "Make /run/sshd part of the image, or the root writable at boot."
        ) from error
    if sshd.audited() and not sshd.may_audit():
        raise StepWarned(
            "SSH works for commands and copies but not for terminals: sshd may not write to the kernel's audit log",
            f"Start the container with --cap-add {AUDIT_WRITE.name}.",
        )
    keys = "1 key" if len(settings.ssh_keys) == 1 else f"{len(settings.ssh_keys)} keys"
    return f"port {settings.ssh_port}, {keys}, {key.fingerprint}"
