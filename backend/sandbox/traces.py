"""Keeps traces of this machine and its users out of a sandbox's root: the agent sees the same root on every machine.

Programs and their configuration stay. Not hidden, because the kernel has no namespace for them: /proc/cmdline, /proc/partitions
and most of /sys; and the paths of bind mounts in /proc/self/mountinfo.
"""

from __future__ import annotations

import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.contract.paths import USERS
from backend.sandbox.installation import write

# Folders that every root has (hier(7)), empty in a sandbox. Other names at the top belong to this machine.
EMPTY = ("home", "media", "mnt", "opt", "srv")
FIRST_PERSON, NOBODY = 1000, 65534  # uids and gids; those below are the distribution's (login.defs(5): UID_MIN)
# Files about this machine, its disks, its network and its users, as patterns below the root.
FILES = (
    "etc/crypttab",
    "etc/exports",
    "etc/fstab",
    "etc/group-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/krb5.keytab",
    "etc/machine-info",
    "etc/mailname",
    "etc/motd",
    "etc/netplan/*",
    "etc/network/interfaces",
    "etc/NetworkManager/system-connections/*",
    "etc/passwd-",
    "etc/shadow-",
    "etc/ssh/ssh_host_*",
    "etc/subgid",
    "etc/subgid-",
    "etc/subuid",
    "etc/subuid-",
    "etc/wireguard/*",
    "etc/wpa_supplicant/*.conf",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
)
# Configuration that users of a machine can read and that may contain credentials: they are left out, the rest stays.
CONFIGURATION = (
    "etc/apt/apt.conf",
    "etc/apt/apt.conf.d/*",
    "etc/apt/auth.conf.d/*",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/curlrc",
    "etc/dnf/*.conf",
    "etc/maven/settings.xml",
    "etc/npmrc",
    "etc/pip.conf",
    "etc/systemd/system/*.service",
    "etc/systemd/system/*.service.d/*",
    "etc/wgetrc",
    "etc/xdg/pip/pip.conf",
    "etc/yum.conf",
    "etc/yum.repos.d/*",
    "usr/etc/npmrc",
    "usr/local/etc/npmrc",
)
MAX_BYTES = 1 << 20
SCRIPTS = ("etc/bash.bashrc", "etc/default/*", "etc/environment", "etc/environment.d/*", "etc/profile", "etc/profile.d/*")
_NAME = r"[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|credential|api_?key|access_?key)[\w.-]*"
_VALUE = r"""("[^"\n]*"|'[^'\n]*'|[^\s<"';]+)"""
_IN_URL = re.compile(r"(?<=://)[^\s/@\"'<>]+@")
_IN_NETRC = re.compile(r"(\blogin\s+\S+\s+password\s+)\S+")  # netrc(5), apt_auth.conf(5)
_IN_SHELL = re.compile(rf"(?im)^(\s*(?:export\s+)?{_NAME}=){_VALUE}")  # no other use of such a name in a script
_NAMED = re.compile(rf"""(?i)((?:{_NAME}|(?<!\w)_auth)["']?[ \t]*[=:>][ \t]*){_VALUE}""")
FOLDERS = ("var/lib/AccountsService", "var/lib/NetworkManager", "var/lib/cloud", "var/lib/dhcp", "var/lib/sss")  # covered
FIRMWARE = ("firmware", "devices/virtual/dmi")  # below /sys: maker, model, serial numbers


def tops(system: frozenset[str]) -> Iterator[str]:
    """The names at the top of this machine's root that are not the `system`'s own."""
    yield from (name for name in sorted(path.name for path in Path("/").iterdir()) if name not in system)


def remove(root: Path, base: Path, hide: Callable[[Path], None]) -> None:
    """Replaces or removes files that identify the machine `base` or contain credentials. `hide` removes one. Raises OSError.

    Call it when our accounts are in `root`.
    """
    for pattern in FILES:
        for file in _matching(base, pattern):
            hide(root / file.relative_to(base))
    for pattern in (*CONFIGURATION, *SCRIPTS):
        for file in _matching(base, pattern):
            text = _read(file)
            if text is not None and (changed := without_credentials(text, is_script=pattern in SCRIPTS)) != text:
                write(
                    root / file.relative_to(base), changed.encode(errors="surrogateescape"), stat.S_IMODE(file.stat().st_mode)
                )
    write(root / "etc/machine-id", f"{secrets.token_hex(16)}\n".encode(), 0o444)
    for name in ("passwd", "group"):
        write(root / "etc" / name, without_people((root / "etc" / name).read_text()).encode())


def _matching(base: Path, pattern: str) -> Iterator[Path]:
    """The files that match, except below a symbolic link: that may lead out of the root, to files of the machine itself."""
    top = base.resolve()
    for file in base.glob(pattern):
        if file.parent.resolve() == top / file.relative_to(base).parent:
            yield file


def without_credentials(text: str, *, is_script: bool = False) -> str:
    """Removes passwords and tokens from configuration: in URLs, and the values of names such as `_authToken`."""
    text = _IN_NETRC.sub(r"\1", _IN_URL.sub("", text))
    return (_IN_SHELL if is_script else _NAMED).sub(r"\1", text)


def _read(file: Path) -> str | None:
    """The text of a small regular file that all users of the machine can read, else None. Follows no link."""
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IROTH or status.st_size > MAX_BYTES:
            return None
        return file.read_text(errors="surrogateescape")
    except OSError:
        return None


def without_people(text: str) -> str:
    """Removes people from the text of a passwd(5) or group(5) file: their accounts, groups, names and memberships."""
    return "".join(f"{line}\n" for entry in text.splitlines() if (line := _anonymous(entry.split(":"))))


def _anonymous(fields: list[str]) -> str:
    if len(fields) not in (4, 7) or not fields[2].isdigit():  # such as NIS's +
        return ""
    if fields[0] not in USERS and int(fields[2]) >= FIRST_PERSON and int(fields[2]) != NOBODY:
        return ""
    if len(fields) == 4:
        fields[3] = ""  # the members
    else:
        fields[4] = "" if fields[0] != "root" else "root"  # full name, phone
    return ":".join(fields)
