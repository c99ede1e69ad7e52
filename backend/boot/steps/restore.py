"""Restores the agent's files from suspended work. Runs before boot writes its own files, which take their places."""

from __future__ import annotations

import os
from pathlib import Path

from backend import system
from backend.boot.plan import StepFailed, StepSkipped
from backend.context import Boot
from backend.contract.events import WorkResumed
from backend.contract.paths import Paths
from backend.suspension import archive, restoring, writing
from backend.suspension.description import Unreadable
from backend.system import AGENT

SECONDS = 600.0
NOTHING_LOST = "The archive is unchanged. Resume another one, or start without it."


async def run(boot: Boot) -> str:
    resumed = boot.resumed
    if resumed is None:
        raise StepSkipped("nothing to resume")
    try:
        with archive.opened(resumed.file, verified=True) as opened:
            await restoring.restore(opened, boot.paths)
    except (Unreadable, OSError) as error:
        raise StepFailed(f"cannot resume {resumed.name}: {error}", NOTHING_LOST) from error
    folders, files = own(boot.paths)
    command = [str(boot.paths.python), "-I", "-m", "backend", "suspension", "clear", *folders, "--", *files]
    await system.run_async(command, identity=AGENT)
    manifest = resumed.manifest
    boot.emit(WorkResumed(resumed.state.at, manifest.entries, manifest.left_out, manifest.more))
    if lacks := writing.described(manifest.left_out, manifest.more):
        boot.say("restore", f"not in the archive: {lacks}")
    return f"{manifest.entries} files of {resumed.state.age}"


def own(paths: Paths) -> tuple[list[str], list[str]]:
    """The folders and files of the agent's home that boot writes itself, each folder before those in it."""
    home = paths.home
    claude = home / ".claude"
    folders = [claude, home / ".local", home / ".local/bin", home / ".bun", home / ".bun/bin", paths.agent_report.parent]
    files = [home / ".npmrc", home / ".claude.json", home / "prompt.md", claude / "settings.json", claude / "CLAUDE.md"]
    skills = paths.claude_settings.parent / "skills"
    for folder, _, names in os.walk(skills, followlinks=True):  # empty if there are none
        place = claude / "skills" / Path(folder).relative_to(skills)
        folders.append(place)
        files += [place / name for name in names]
    return [*map(str, folders)], [*map(str, files)]
