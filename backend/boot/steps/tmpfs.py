"""Mounts the agent's file systems in memory, so that nothing it writes outlives the sandbox or is setuid."""

from __future__ import annotations

from pathlib import Path

from backend import system
from backend.boot.plan import StepFailed
from backend.context import Boot
from backend.contract.paths import AGENT_UID
from backend.tmpfs import limits

DEV_SHM = 64 << 20


async def run(boot: Boot) -> str:
    settings, paths = boot.settings, boot.paths
    wanted = {
        paths.workspace: settings.tmpfs_workspace,
        paths.tmp: settings.tmpfs_tmp,
        paths.home: settings.tmpfs_home,
    }
    total, memory = sum(wanted.values()), memory_bytes()
    if total > memory:
        raise StepFailed(
            f"the file systems may grow to {show(total)}, but there are only {show(memory)} of memory",
            "Lower CODETAINER_TMPFS_WORKSPACE, CODETAINER_TMPFS_TMP and CODETAINER_TMPFS_HOME, or add memory.",
        )
    for folder, size in wanted.items():
        folder.mkdir(parents=True, exist_ok=True)
        mode = "1777" if folder == paths.tmp else "0755"
        owner = "" if folder == paths.tmp else f",uid={AGENT_UID},gid={AGENT_UID}"
        system.mount("tmpfs", folder, source="tmpfs", options=f"nosuid,nodev,{limits(size)},mode={mode}{owner}")
    shm = paths.root / "dev/shm"
    if shm.is_dir():
        system.mount("tmpfs", shm, source="tmpfs", options=f"nosuid,nodev,noexec,{limits(DEV_SHM)},mode=1777")
    return "  ".join(f"/{folder.relative_to(paths.root)} {show(size)}" for folder, size in wanted.items())


def show(size: int) -> str:
    return f"{size / (1 << 30):.3g} GB" if size >= 1 << 30 else f"{size >> 20} MB"


def memory_bytes(proc: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Returns the machine's memory or the container's limit (cgroup v2 or v1), whichever is less."""
    total = next(int(line.split()[1]) << 10 for line in proc.read_text().splitlines() if line.startswith("MemTotal:"))
    for limit in (cgroup / "memory.max", cgroup / "memory/memory.limit_in_bytes"):
        try:
            text = limit.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total
