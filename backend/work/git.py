"""git(1) as the agent, for reading: what the agent has configured is read where it has to be, and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend import system
from backend.system import Answered, SystemFailure

PATH = "/usr/local/bin:/usr/bin:/bin"  # root's: the agent's own PATH may begin with a git of its own
MOST = 64 << 20  # bytes of an answer
SECONDS = 120.0


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment for git: no variable steers it to another repository, program or trace file."""
    kept = {name: value for name, value in given.items() if not name.startswith("GIT_") or name == "GIT_SSL_CAINFO"}
    return {
        **kept, "PATH": PATH, "LC_ALL": "C.UTF-8", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat",
        "GIT_EDITOR": "false",
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Git:
    """git in one folder, with one environment."""

    environment: Mapping[str, str]
    folder: Path

    def answer(
        self,
        *arguments: str,
        given: bytes = b"",
        most: int = MOST,
        seconds: float = SECONDS,
        stdout: int | None = None,
    ) -> Answered:
        """Whatever comes of it. Raises SystemFailure where git cannot start or does not end in time."""
        return system.ask(
            ["git", *arguments], environment=self.environment, cwd=self.folder, input=given, timeout=seconds, most=most,
            stdout=stdout,
        )  # fmt: skip

    def ask(self, *arguments: str, given: bytes = b"", seconds: float = SECONDS) -> bytes:
        """What git says. Raises SystemFailure where it fails, or says more than MOST."""
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
        """As `line`, "" where git fails: for what need not be there. Raises SystemFailure where git cannot be asked."""
        done = self.answer(*arguments)
        return text(done.out).removesuffix("\n") if done.code == 0 and done.whole else ""


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
