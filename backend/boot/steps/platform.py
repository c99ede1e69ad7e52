"""Closes the platform's folder to the agent. On Fly.io, a socket in it mints tokens and can suspend the machine."""

from __future__ import annotations

from backend.boot.plan import StepFailed, StepSkipped
from backend.context import Boot


async def run(boot: Boot) -> str:
    folder = boot.paths.fly
    if not folder.exists():
        raise StepSkipped("this platform has no such socket")
    try:
        folder.chmod(0o700)  # the platform's processes run as root, so they keep working
    except OSError as error:
        raise StepFailed(
            f"cannot keep the agent from {folder}: {error.strerror}",
            "Mount it writable, so that boot can close it: its socket can mint tokens.",
        ) from error
    return f"only root can access /{folder.relative_to(boot.paths.root)}"
