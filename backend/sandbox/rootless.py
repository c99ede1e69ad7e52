"""What `codetainer up` needs without root: a user namespace with subordinate ids, and the rights to make one."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.sandbox import pasta, user_namespace
from backend.sandbox.user_namespace import Range, Wanted, current_user
from backend.system import SYSTEM_PATH, SystemFailure, describe

PACKAGE = "uidmap"
APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
MOST = Path("/proc/sys/user/max_user_namespaces")
TUN = Path("/dev/net/tun")
CLONE = Path("/proc/sys/kernel/unprivileged_userns_clone")  # of Debian's kernels
PROFILE = (
    "AppArmor denies user namespaces all rights: give {program} a profile (docs/getting-started.md, Without root), "
    "or set kernel.apparmor_restrict_unprivileged_userns=0."
)
GUIDE = "See Without root in docs/getting-started.md, or run it as root."


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is missing for a user namespace: what, why, and the remedy."""

    name: str
    problem: str
    remedy: str


def lacks(program: Path | None) -> list[Lack]:
    """What this user lacks for a user namespace, as far as it can be told without making one. `program` is userns."""
    found = [] if program else [Lack("userns", "not built", "Run make setup to build it from backend/userns.")]
    mappers = [(name, shutil.which(name, path=SYSTEM_PATH)) for name in ("newuidmap", "newgidmap")]
    if problems := {name: problem for name, path in mappers if (problem := of_mapper(Path(path) if path else None))}:
        found.append(Lack(*_in_one(problems), f"Run apt-get install {PACKAGE}."))
    if no_new_privileges(Path("/proc/self/status").read_text()):
        found.append(
            Lack("new privileges", "a setuid program gets none here (no_new_privs)",
                 "Run it outside of a sandbox, container or service that forbids new privileges, or as root.")
        )  # fmt: skip
    if problems := of_ids(user_namespace.wanted(), current_user(), os.getuid()):
        found.append(Lack(*_in_one(problems), user_namespace.remedy(current_user())))
    return found


def _in_one(problems: Mapping[str, str]) -> tuple[str, str]:
    """Problems that have the same remedy, as one: their names, their texts."""
    return " and ".join(problems), "; ".join(dict.fromkeys(problems.values()))


def network_lacks(tun: Path = TUN) -> list[Lack]:
    """What this user lacks for `--net nat`."""
    found = [] if pasta.program() else [Lack("pasta", "neither pasta nor slirp4netns found", pasta.INSTALL)]
    try:
        os.close(os.open(tun, os.O_RDWR))
    except OSError as error:
        remedy = f"Run modprobe tun and chmod 0666 {tun} as root, after each start of the machine."
        found.append(Lack(str(tun), describe(error), remedy))
    return found


def of_mapper(path: Path | None) -> str:
    """Why newuidmap or newgidmap cannot do its work, "" if it can: it is setuid, or has a capability of its own."""
    if path is None:
        return "not found"
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        return f"{path} is on a file system that is mounted nosuid"
    if path.stat().st_mode & stat.S_ISUID or "security.capability" in os.listxattr(path):
        return ""
    return f"{path} is not setuid"


def no_new_privileges(status: str) -> bool:
    """True for a process with this /proc/PID/status (proc(5): NoNewPrivs)."""
    return any(line.split() == ["NoNewPrivs:", "1"] for line in status.splitlines())


def of_ids(wanted: Wanted, user: str, uid: int) -> dict[str, str]:
    """Which subordinate ids are missing, by their name."""
    return {
        f"subordinate {kind}s": problem
        for kind, ids in (("uid", wanted.uids), ("gid", wanted.gids))
        if (problem := too_few(len(ids), user_namespace.ranges(kind, user, uid)))
    }


def too_few(needed: int, ranges: list[Range]) -> str:
    """The problem with a user's subordinate ids, "" if they suffice."""
    count = len(user_namespace.last(needed, ranges))
    if count == 0:
        return f"only your own id is available; a sandbox needs {needed} more, so that its parts cannot control each other"
    return "" if count >= needed else f"{count} are available, a sandbox needs {needed}"


def enter(program: Path) -> Lack | None:
    """Moves this process into a user namespace of its own (user_namespace.enter). Returns what prevents it, if anything."""
    try:
        user_namespace.enter(program)
    except (OSError, SystemFailure) as error:
        problem = describe(error) if isinstance(error, OSError) else str(error)
        return Lack("user namespace", problem, remedy(program))
    return None


def remedy(program: Path | None) -> str:
    """What permits user namespaces on this machine, by the switch that forbids them."""
    for switch, forbidden, text in (
        (CLONE, "0", f"Set kernel.{CLONE.name}=1 with sysctl."),
        (MOST, "0", f"Set user.{MOST.name} to 15000 with sysctl."),
        (APPARMOR, "1", PROFILE.format(program=program)),
    ):
        if switch.exists() and switch.read_text().strip() == forbidden:
            return text
    return GUIDE
