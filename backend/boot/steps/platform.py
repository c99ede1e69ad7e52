"""What the platform has put into the machine is root's: on Fly.io a socket that mints tokens and can suspend the machine."""

from __future__ import annotations

from backend.boot.plan import StepFailed, StepSkipped
from backend.context import Boot


async def run(boot: Boot) -> str:
    folder = boot.paths.fly
    if not folder.exists():
        raise StepSkipped("nothing of a platform's is here")
    try:
        folder.chmod(0o700)  # its own processes run as root and go on
    except OSError as error:
        raise StepFailed(
            f"cannot keep the agent from {folder}: {error.strerror}",
            "Mount it writable: its socket can mint tokens, so boot closes it to the agent.",
        ) from error
    return f"/{folder.relative_to(boot.paths.root)} is root's alone"
