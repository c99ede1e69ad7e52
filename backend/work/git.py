"""Runs git(1) as the agent with our own configuration: git reads none of the agent's settings and runs none of its hooks.

configuration.py reads the agent's remotes and ignore patterns, as data only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from backend import system
from backend.contract.immutable import dataclass
from backend.contract.paths import Paths
from backend.system import GIT, Answered, SystemFailure

PATH = "/usr/local/bin:/usr/bin:/bin"  # root's: the agent's own PATH may begin with a fake git
MAX_OUTPUT = 64 << 20  # bytes
SECONDS = 120.0


def environment(home: Path, certificates: str = "") -> dict[str, str]:
    """Returns the environment for git. `home` is an empty folder of ours, `certificates` the CA bundle ("": git's default).

    The agent's ~/.gitconfig, ~/.config/git and ~/.netrc (libcurl reads it from $HOME) have no effect, and none of the agent's
    variables can point git to a proxy, another repository, a program or a trace file. git does read /etc/gitconfig: boot writes
    it, with the operator's name and the credential helper. Scratch in scratch.py deals with attributes. Source: git(1),
    "Environment Variables".
    """
    variables = {
        "PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": str(home), "GIT_CONFIG_SYSTEM": str(Paths().git_config),
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "GIT_EDITOR": "false",
    }  # fmt: skip
    return {**variables, "GIT_SSL_CAINFO": certificates} if certificates else variables


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git in one folder with one environment."""

    environment: Mapping[str, str]
    folder: Path

    def answer(
        self,
        *arguments: str,
        stdin: bytes = b"",
        most: int = MAX_OUTPUT,
        seconds: float = SECONDS,
        stdout: int | None = None,
    ) -> Answered:
        """Runs git and returns its result, even if it failed. Raises SystemFailure if git cannot start or times out."""
        return system.ask(
            [GIT, *arguments], environment=self.environment, cwd=self.folder, input=stdin, timeout=seconds, most=most,
            stdout=stdout,
        )  # fmt: skip

    def ask(self, *arguments: str, stdin: bytes = b"", seconds: float = SECONDS) -> bytes:
        """Returns git's output. Raises SystemFailure if git fails or writes more than MAX_OUTPUT."""
        done = self.answer(*arguments, stdin=stdin, seconds=seconds)
        if not done.whole:
            raise SystemFailure(f"cannot run git {arguments[0]}: its output is too long")
        if done.code != 0:
            raise SystemFailure(f"cannot run git {arguments[0]}: {last_line(done)}")
        return done.out

    def line(self, *arguments: str, stdin: bytes = b"") -> str:
        """Returns git's output without the final line feed. Raises SystemFailure."""
        return text(self.ask(*arguments, stdin=stdin)).removesuffix("\n")

    def maybe(self, *arguments: str) -> str:
        """Like `line`, but returns "" if git fails: for optional values. Raises SystemFailure if git cannot run."""
        done = self.answer(*arguments)
        return text(done.out).removesuffix("\n") if done.code == 0 and done.whole else ""

    def feed(self, *arguments: str, pieces: Iterable[bytes], seconds: float) -> Answered:
        """Writes pieces to git's stdin, which together may exceed memory. Discards its stdout. Raises SystemFailure."""
        return system.feed(
            [GIT, *arguments], environment=self.environment, cwd=self.folder, pieces=pieces, timeout=seconds
        )  # fmt: skip


def last_line(done: Answered) -> str:
    """Returns why git failed: its last `fatal:` or `error:` line, else the last line that it wrote."""
    lines = [line for line in done.err.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (errors or lines or [f"exit code {done.code}"])[-1].strip()


def text(output: bytes) -> str:
    """Decodes a name, which in git is bytes. `data` restores the bytes, even if they are not UTF-8."""
    return output.decode(errors="surrogateescape")


def data(output: str) -> bytes:
    return output.encode(errors="surrogateescape")


def parts(output: bytes) -> Sequence[str]:
    """Splits output in git's `-z` format."""
    return [text(part) for part in output.split(b"\0") if part]
