"""Makes the root read-only and hides other users' processes."""

from __future__ import annotations

from backend import system
from backend.boot.plan import StepWarned
from backend.context import Boot
from backend.system import SystemFailure


async def run(boot: Boot) -> str:
    # An overlay refuses a plain remount ("No changes allowed in reconfigure") but accepts it as a bind mount.
    await system.run_async(["mount", "-o", "remount,bind,ro", str(boot.paths.root)])
    try:
        await system.run_async(["mount", "-o", "remount,nosuid,nodev,noexec,hidepid=2", str(boot.paths.root / "proc")])
    except SystemFailure as error:
        raise StepWarned(f"root is read-only, but /proc shows every process: {error}", "Give boot CAP_SYS_ADMIN.") from error
    return "/proc shows the agent only its own processes"
