"""The result of a learning run under `codetainer up`: an allowlist in the operator's folder that replaces no other file."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from backend import settings
from backend.contract.paths import Paths
from backend.system import describe

DEFAULT = Path("learned.conf")
BEGINS = "LEARNING RUN: every public name opens when the agent asks for it"
MAX_BYTES = 1 << 24
MAX_NUMBER = 1000  # of files with the same name


def begin(file: Path | None) -> LearnedFile:
    """Announces a learning run, whose result goes to a file. Raises SettingsError if the file exists."""
    learned = LearnedFile(file or DEFAULT)
    learned.require_new()
    red, plain = ("\x1b[31m", "\x1b[0m") if os.isatty(2) else ("", "")
    sys.stderr.write(f"{red}codetainer: {BEGINS}{plain}\n")
    return learned


class LearnedFile:
    """The operator's file. The sandbox's own copy is read after the sandbox has ended, when its path is gone."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._folder = -1

    def require_new(self) -> None:
        """Raises SettingsError if the file exists already, or cannot be made."""
        if self._file.exists() or self._file.is_symlink():
            raise settings.SettingsError([f"--learn {self._file}: exists already; move it away, or name another file"])
        if not self._file.absolute().parent.is_dir():
            raise settings.SettingsError([f"--learn {self._file}: no such folder: {self._file.parent}"])

    def hold(self, paths: Paths) -> None:
        """Opens the folder of the sandbox's copy, so that it outlives the sandbox."""
        with contextlib.suppress(OSError):  # boot has not begun: then there is nothing to write
            self._folder = os.open(paths.run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._name = paths.learned.name

    def write(self) -> str:
        """Writes the file, under a name that is free. Returns a message for the operator, "" if there is nothing to write."""
        if self._folder < 0:
            return ""
        try:
            from network.learning.file import NOTHING  # only learning runs need it

            text = self._read()
            if NOTHING.encode() in text:
                return f"codetainer: the learning run opened no name that answered; {self._file} was not written\n"
            file = self._create(text)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"codetainer: cannot write what the learning run has learned: {describe(error)}\n"
        finally:
            os.close(self._folder)
            self._folder = -1
        return f"codetainer: wrote {file}; read it, then use it with codetainer up --domains {file}\n"

    def _read(self) -> bytes:
        descriptor = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_BYTES)

    def _create(self, text: bytes) -> Path:
        """Creates the file. If another one has taken its name meanwhile, adds a number."""
        for number in range(1, MAX_NUMBER):
            file = self._file if number == 1 else self._file.with_name(f"{self._file.stem}-{number}{self._file.suffix}")
            with contextlib.suppress(FileExistsError), file.open("xb") as opened:
                opened.write(text)
                return file
        raise FileExistsError(17, "too many files of this name", str(self._file))
