"""The user namespace of an ordinary user's sandbox: its root is the user, its other ids are subordinate ids of the user.

Only the ids that a sandbox uses are mapped, so that no process in it can take any other. They are taken from the end of the
user's range, because Podman's containers use its beginning. Sources: user_namespaces(7), newuidmap(1), subuid(5), getsubids(1).
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from backend import system
from backend.contract.immutable import dataclass
from backend.contract.paths import STOPPER_UID, USERS
from backend.sandbox import namespaces
from backend.sandbox.first_process import reset_signals
from backend.sandbox.namespaces import Namespace
from backend.system import BASE_ENVIRONMENT, SYSTEM_PATH, SystemFailure

SSHD = "sshd"  # the user of sshd's unprivileged half
TTY = "tty"  # the group of a terminal in a login
OURS = frozenset((*USERS.values(), STOPPER_UID))
FILES = {"uid": Path("/etc/subuid"), "gid": Path("/etc/subgid")}
FIRST, COUNT = 100000, 65536  # login.defs(5): SUB_UID_MIN, SUB_UID_COUNT
MAX_ERRORS = 4096  # bytes


@dataclass(frozen=True, slots=True)
class Range:
    """Subordinate ids: `count` ids from `first` on."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The ids that a sandbox needs in addition to 0."""

    uids: tuple[int, ...]
    gids: tuple[int, ...]


def wanted() -> Wanted:
    """Our ids, and those of sshd and of terminals, which have the numbers of this machine's accounts."""
    uids, gids = set(OURS), set(OURS)
    with contextlib.suppress(KeyError):  # sshd is not installed, so it cannot be started either
        account = pwd.getpwnam(SSHD)
        uids.add(account.pw_uid)
        gids.add(account.pw_gid)
    with contextlib.suppress(KeyError):  # terminals then keep the group of root
        gids.add(grp.getgrnam(TTY).gr_gid)
    return Wanted(tuple(sorted(uids - {0})), tuple(sorted(gids - {0})))


def ranges(kind: str, user: str, uid: int) -> list[Range]:
    """The subordinate ids of a user; `kind` is "uid" or "gid". getsubids also asks the name service, but is not everywhere."""
    if shutil.which("getsubids", path=SYSTEM_PATH):
        done = system.run(["getsubids", *(["-g"] if kind == "gid" else []), user], check=False)
        return parse_getsubids(done.out) if done.code == 0 else []
    try:
        return parse_file(FILES[kind].read_text(errors="replace"), user, uid)
    except OSError:
        return []


def parse_getsubids(text: str) -> list[Range]:
    """Parses lines like `0: user 100000 65536`."""
    fields = (line.split() for line in text.splitlines())
    return [Range(int(f[2]), int(f[3])) for f in fields if len(f) == 4 and f[2].isdigit() and f[3].isdigit()]


def parse_file(text: str, user: str, uid: int) -> list[Range]:
    """Parses lines like `user:100000:65536` (subuid(5)); a number stands for the user's uid."""
    fields = (line.split(":") for line in text.splitlines())
    return [
        Range(int(f[1]), int(f[2]))
        for f in fields
        if len(f) == 3 and f[0] in (user, str(uid)) and f[1].isdigit() and f[2].isdigit()
    ]


def last(count: int, subordinate: Sequence[Range]) -> list[int]:
    """The last `count` different ids of the ranges, fewer if there are no more."""
    found: dict[int, None] = {}
    for each in reversed(subordinate):
        end = each.first + each.count
        found |= dict.fromkeys(range(end - 1, max(each.first, end - count) - 1, -1))
    return list(found)[:count]


def mapping(inside: Sequence[int], own: int, subordinate: Sequence[Range]) -> str:
    """The arguments of newuidmap(1): 0 is the user, each other id a subordinate one. Raises SystemFailure for too few."""
    free = last(len(inside), subordinate)
    if len(free) < len(inside):
        raise SystemFailure(
            f"cannot map {len(inside)} ids into the sandbox: you have {len(free)} subordinate ids", remedy(current_user())
        )
    outside = dict(zip(inside, free, strict=True))
    return " ".join(f"{number} {outer} 1" for number, outer in {0: own, **outside}.items())


def current_user() -> str:
    """The name of this process's user, its number if it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def remedy(user: str) -> str:
    """How root gives the user a range of ids that no other user has in the files."""
    texts = []
    for file in FILES.values():
        with contextlib.suppress(OSError):
            texts.append(file.read_text(errors="replace"))
    first = unused(texts)
    ids = f"{first}-{first + COUNT - 1}"
    return f"Run usermod --add-subuids {ids} --add-subgids {ids} {user} once, as root."


def unused(texts: Iterable[str]) -> int:
    """The first id after all ranges in texts of /etc/subuid and /etc/subgid, at least login.defs(5)'s SUB_UID_MIN."""
    fields = (line.split(":") for text in texts for line in text.splitlines())
    return max([FIRST, *(int(f[1]) + int(f[2]) for f in fields if len(f) == 3 and f[1].isdigit() and f[2].isdigit())])


def enter(program: Path) -> None:
    """Moves this process into a new user namespace, as its root, and a new cgroup namespace. Raises SystemFailure, OSError.

    The process must have a single thread. `program` is userns (backend/userns), which creates the namespace.
    """
    user, uid = current_user(), os.getuid()
    ids = wanted()
    uid_map = mapping(ids.uids, uid, ranges("uid", user, uid))
    gid_map = mapping(ids.gids, os.getgid(), ranges("gid", user, uid))
    errors = os.memfd_create("userns", os.MFD_CLOEXEC)
    alive, ending = os.pipe()
    reading, writing = os.pipe()
    try:
        parent = os.getpid()
        helper = os.fork()
        if helper == 0:
            _become(parent, [str(program), uid_map, gid_map], alive, writing, errors)
        os.close(writing)
        writing = -1
        holder = os.read(reading, 32).strip()
        try:
            if holder.isdigit():
                namespaces.join_user(int(holder))
        finally:
            os.close(ending)  # the holder ends, then the helper
            ending = -1
            os.waitpid(helper, 0)
        if not holder.isdigit():
            lines = os.pread(errors, MAX_ERRORS, 0).decode(errors="replace").strip().splitlines()
            raise SystemFailure(lines[-1] if lines else "cannot create a user namespace", "Run codetainer check to see why.")
    finally:
        for descriptor in {errors, alive, ending, reading, writing} - {-1}:
            os.close(descriptor)
    namespaces.unshare(Namespace.CGROUP)  # without one of its own, the sandbox could not mount the hierarchy of cgroups


def _become(parent: int, argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> None:
    """Turns this forked process into the helper. Does not return."""
    try:
        namespaces.die_with_parent(parent)
        os.setsid()  # ctrl+c is for `up` alone
        reset_signals()
        for descriptor, number in ((stdin, 0), (stdout, 1), (stderr, 2)):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.execve(argv[0], list(argv), dict(BASE_ENVIRONMENT))
    except OSError as error:
        os.write(stderr, f"cannot run {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)
