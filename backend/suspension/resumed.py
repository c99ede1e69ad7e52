"""The archive with which a sandbox begins, and whether it fits this sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.suspension import archive
from backend.suspension.description import Manifest, Suspended, Unreadable
from backend.system import SystemFailure, describe

VARIABLES = {
    "workspace": "CODETAINER_TMPFS_WORKSPACE", "home/claude": "CODETAINER_TMPFS_HOME", "tmp": "CODETAINER_TMPFS_TMP"
}  # fmt: skip


class NotResumable(SystemFailure):
    """An archive that cannot be resumed, or not in this sandbox. Nothing has been done."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A verified archive. `name` is the operator's name for the file. `journal` is gzip data."""

    file: Path
    name: str
    state: Suspended
    manifest: Manifest
    journal: bytes


def read(file: Path, name: str = "", *, verified: bool = False) -> Resumed:
    """Verifies an archive, unless that was done before, and reads its descriptions. Raises NotResumable."""
    name = name or str(file)
    try:
        with archive.opened(file, verified=verified) as opened:
            return Resumed(file, name, opened.state, opened.manifest, opened.read(opened.journal))
    except Unreadable as error:
        raise NotResumable(f"cannot resume {name}: {error}") from error
    except OSError as error:
        raise NotResumable(f"cannot resume {name}: {error.strerror or describe(error)}") from error


def require_fit(resumed: Resumed, repository: str, sizes: Mapping[str, int]) -> None:
    """Checks that an archive is of this sandbox's `repository` (REPO_URL), and fits into its folders of these `sizes` (bytes).

    Raises NotResumable.
    """
    theirs = resumed.state.repository[:300]
    if theirs and _same(theirs) != _same(repository):
        here = f"REPO_URL is {repository}" if repository else "REPO_URL is not set"
        shown = theirs if theirs.isprintable() else ascii(theirs)  # it goes to a terminal, and the file may be anybody's
        raise NotResumable(f"cannot resume {resumed.name}: it is of {shown}, and {here}", f"Set REPO_URL={shown}.")
    for folder, used in resumed.manifest.used.items():
        if used > sizes[folder]:
            raise NotResumable(
                f"cannot resume {resumed.name}: /{folder} has {used >> 20} MB in it, and only {sizes[folder] >> 20} MB here",
                f"Set {VARIABLES[folder]}={(used >> 20) + 64}M or more.",
            )


def _same(url: str) -> str:
    return url.rstrip("/").removesuffix(".git").lower()
