"""Finds the suspended work with which this sandbox begins, and verifies all of it before anything is used."""

from __future__ import annotations

import asyncio
import json
import math
import time
import zlib
from pathlib import Path

from backend import system
from backend.boot.plan import StepFailed, StepSkipped, StepWarned
from backend.context import Boot
from backend.contract.events import Muted
from backend.suspension import resumed as archives
from backend.suspension.places import Store
from backend.suspension.resumed import Resumed
from backend.system import SystemFailure, describe
from network.gate import budget

MAX_JOURNAL = 8 << 20  # bytes, unpacked
ANEW = "Name another archive, or move the files out of {} to start without suspended work."


async def run(boot: Boot) -> str:
    settings, paths = boot.settings, boot.paths
    if boot.resumed is not None:  # a retry repeats a step with a warning, but newer archives are of this sandbox
        return f"of {boot.resumed.state.age}"
    store = Store(Path(settings.state)) if settings.state else None
    if store is not None:
        store.require()
    warning = ""
    if paths.resume.exists():
        found = archives.read(paths.resume, "the archive", verified=True)
    elif store is not None:
        found, warning = await asyncio.to_thread(_newest, store)
    else:
        raise StepSkipped("nothing to resume")
    sizes = {"workspace": settings.tmpfs_workspace, "home/claude": settings.tmpfs_home, "tmp": settings.tmpfs_tmp}
    archives.require_fit(found, settings.repo_url, sizes)
    _take_over(boot, found)
    boot.resumed = found
    if warning:
        raise StepWarned(
            f"resuming from an older archive: {warning}",
            "Check the volume: the newer archive stays beside the others, with the ending .broken.",
        )
    return f"of {found.state.age}"


def _newest(store: Store) -> tuple[Resumed, str]:
    """Returns the newest archive that is whole, and why newer ones are not used. Raises StepSkipped, StepFailed."""
    usable: dict[Path, Resumed] = {}

    def problem(file: Path) -> str:
        try:
            usable[file] = archives.read(file)
        except SystemFailure as error:
            return str(error).partition(": ")[2]
        return ""

    try:
        file, problems = store.newest(problem)
    except OSError as error:
        raise StepFailed(f"cannot read {store.folder}: {describe(error)}") from error
    if file is None and problems:
        raise StepFailed(f"no archive in {store.folder} is whole: {'; '.join(problems)}", ANEW.format(store.folder))
    if file is None:
        raise StepSkipped(f"{store.folder} has no archive yet")
    return usable[file], "; ".join(problems)


def _take_over(boot: Boot, found: Resumed) -> None:
    """Takes over what root has kept: the model's use, muted names, the journal. The grants follow when boot is done."""
    account = found.state.budget
    if account:
        try:
            budget.restored(account, boot.settings.budget)
        except (ValueError, TypeError, KeyError) as error:
            raise StepFailed(f"cannot resume {found.name}: its budget is not valid") from error
        system.write(boot.paths.budget, json.dumps(dict(account)), mode=0o600)
    now = time.time()
    for name, until in found.state.muted.items():
        if name.isprintable() and len(name) < 256 and math.isfinite(until) and (until == 0 or until > now):
            boot.emit(Muted(name, until))
    unpacked = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        journal = unpacked.decompress(found.journal, MAX_JOURNAL)
    except zlib.error as error:
        raise StepFailed(f"cannot resume {found.name}: its journal is not valid") from error
    system.write(boot.paths.journal_before, journal.decode(errors="replace"))
