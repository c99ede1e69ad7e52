"""Creates links in the agent's home for tools that expect to be installed there."""

from __future__ import annotations

import asyncio

from backend import system
from backend.context import Boot
from backend.system import AGENT

LINKS = (
    (".local/bin/claude", "usr/local/bin/claude"),
    (".bun/bin/bun", "usr/local/bin/bun"),
    (".bun/bin/bunx", "usr/local/bin/bunx"),
)


async def run(boot: Boot) -> str:
    present = [(link, boot.paths.root / tool) for link, tool in LINKS if (boot.paths.root / tool).exists()]
    folders = sorted({str((boot.paths.home / link).parent) for link, _ in present} | {str(boot.paths.agent_report.parent)})
    await system.run_async(["mkdir", "-p", *folders], identity=AGENT)
    await asyncio.gather(
        *(system.run_async(["ln", "-sfn", str(tool), str(boot.paths.home / link)], identity=AGENT) for link, tool in present)
    )
    return " ".join(tool.name for _, tool in present) or "none installed"
