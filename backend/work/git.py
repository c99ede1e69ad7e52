"""git(1) as the agent, with a configuration of our own: nothing that the agent has configured is read or run.

The exception is data: names of remotes and of ignored files are taken from the agent's configuration (repository.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend import system
from backend.contract.paths import Paths
from backend.system import GIT, Answered, SystemFailure

PATH = "/usr/local/bin:/usr/bin:/bin"  # root's: the agent's own PATH may begin with a git of its own
MAX = 64 << 20  # bytes of an answer
SECONDS = 120.0


def environment(home: Path, certificates: str = "") -> dict[str, str]:
    """The environment for git. `home` is an empty folder of our own; `certificates` is the bundle to trust ("": git's own).

    So neither ~/.gitconfig, ~/.config/git nor ~/.netrc counts (libcurl reads the last one in $HOME), and no variable of the
    agent's steers git to a proxy, another repository, a program or a trace file. /etc/gitconfig counts: boot writes it, and it
    names the operator and the credential helper. Attributes: Scratch, in scratch.py. Source: git(1), "Environment Variables".
    """
    found = {
        "PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": str(home), "GIT_CONFIG_SYSTEM": str(Paths().git_config),
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "GIT_EDITOR": "false",
    }  # fmt: skip
    return {**found, "GIT_SSL_CAINFO": certificates} if certificates else found


@dataclass(frozen=True, slots=True)
class Git:
    """git in one folder, with one environment."""

    environment: Mapping[str, str]
    folder: Path

    def answer(
        self,
        *arguments: str,
        given: bytes = b"",
        most: int = MAX,
        seconds: float = SECONDS,
        stdout: int | None = None,
    ) -> Answered:
        """Whatever comes of it. Raises SystemFailure if git cannot start or does not end in time."""
        return system.ask(
            [GIT, *arguments], environment=self.environment, cwd=self.folder, input=given, timeout=seconds, most=most,
            stdout=stdout,
        )  # fmt: skip

    def ask(self, *arguments: str, given: bytes = b"", seconds: float = SECONDS) -> bytes:
        """What git says. Raises SystemFailure if it fails, or says more than MAX."""
        done = self.answer(*arguments, given=given, seconds=seconds)
        if not done.whole:
            raise SystemFailure(f"cannot ask git {arguments[0]}: its answer is too long")
        if done.code != 0:
            raise SystemFailure(f"cannot ask git {arguments[0]}: {last_line(done)}")
        return done.out

    def line(self, *arguments: str, given: bytes = b"") -> str:
        """The one line that git says. Raises SystemFailure."""
        return text(self.ask(*arguments, given=given)).removesuffix("\n")

    def maybe(self, *arguments: str) -> str:
        """As `line`, "" if git fails: for what need not be there. Raises SystemFailure if git cannot be asked."""
        done = self.answer(*arguments)
        return text(done.out).removesuffix("\n") if done.code == 0 and done.whole else ""

    def feed(self, *arguments: str, given: Iterable[bytes], seconds: float) -> Answered:
        """Gives git more than fits into memory, piece by piece; what it says on stdout is not kept. Raises SystemFailure."""
        return system.feed(
            [GIT, *arguments], environment=self.environment, cwd=self.folder, pieces=given, timeout=seconds
        )  # fmt: skip


def last_line(done: Answered) -> str:
    """Why git failed: its `fatal:` or `error:`, else the last line it wrote."""
    lines = [line for line in done.err.splitlines() if line.strip()]
    meant = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (meant or lines or [f"exit code {done.code}"])[-1].strip()


def text(said: bytes) -> str:
    """Names in git are bytes: what is no UTF-8 comes back as it was by `data`."""
    return said.decode(errors="surrogateescape")


def data(said: str) -> bytes:
    return said.encode(errors="surrogateescape")


def parts(said: bytes) -> Sequence[str]:
    """The parts of an answer with `-z`."""
    return [text(part) for part in said.split(b"\0") if part]
