"""What boot tells the front ends: the few settings that a login, whose environment is another, has to know.

One file that root writes and everybody reads, a line `NAME=VALUE` for each, so that sh (launchers/attach-claude) and Go
(confine/main.go) can read it as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FrontEndSettings:
    """`lock_timeout` in seconds; the others as their variables have them (docs/configuration.md)."""

    login: str = "tmux"
    lock_timeout: float = 300.0
    log_format: str = "text"
    seccomp: str = "on"

    def render(self) -> str:
        return "".join(f"{name}={getattr(self, name)}\n" for name in self.__slots__)


def read(path: Path) -> FrontEndSettings:
    """The settings of a file. Whatever is missing or malformed in it has its default."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return FrontEndSettings()
    written = dict(line.partition("=")[::2] for line in lines)
    default = FrontEndSettings()
    try:
        lock_timeout = float(written.get("lock_timeout", ""))
    except ValueError:
        lock_timeout = default.lock_timeout
    return FrontEndSettings(
        login=written.get("login", default.login),
        lock_timeout=lock_timeout,
        log_format=written.get("log_format", default.log_format),
        seccomp=written.get("seccomp", default.seccomp),
    )
