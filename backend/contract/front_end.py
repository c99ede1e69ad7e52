"""The few settings that front ends need. A login has an environment of its own, so boot passes them in a file.

Root writes the file, every user can read it. It has one `NAME=VALUE` per line, which sh (launchers/attach-claude) and Go
(confine/main.go) can read, too.
"""

from __future__ import annotations

from pathlib import Path

from backend.contract.immutable import dataclass


@dataclass(frozen=True, slots=True)
class FrontEndSettings:
    """`lock_timeout` is in seconds; the other values are those of their variables (docs/configuration.md)."""

    login: str = "tmux"
    lock_timeout: float = 300.0
    log_format: str = "text"
    seccomp: str = "on"

    def render(self) -> str:
        return "".join(f"{name}={getattr(self, name)}\n" for name in self.__slots__)


def read(path: Path) -> FrontEndSettings:
    """The settings of a file; defaults for missing or malformed values."""
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
