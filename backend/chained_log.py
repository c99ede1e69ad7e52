"""A log file whose lines form a hash chain (contract/chain.py), in two files: the current one and the one before it."""

from __future__ import annotations

import io
import os
from pathlib import Path

from backend.contract import chain

TAIL_BYTES = 1 << 20  # read at the end of an existing file; a snapshot may be long


class ChainedLog:
    """Appends lines. `head` is the chain's head, `size` that of the current file. A full file system raises no error."""

    def __init__(self, path: Path, older: Path) -> None:
        self._path, self._older = path, older
        self._file: io.FileIO | None = None
        self._is_first = False  # the next line is the first one of its file
        self.head = chain.begin()
        self.size = 0

    def append(self, text: str) -> bool:
        """Appends a JSON object. Returns False if it could not be written; then nothing has changed."""
        try:
            if self._file is None:
                self._resume()
            assert self._file is not None
            line, head = chain.link(self.head, text, is_first=self._is_first)
            written = os.write(self._file.fileno(), line + b"\n")
        except OSError:
            return False
        if written <= len(line):
            os.ftruncate(self._file.fileno(), self.size)  # half a line would corrupt the next one, too
            return False
        self.size += written
        self.head, self._is_first = head, False
        return True

    def turn(self, text: str) -> bool:
        """Begins another file with a JSON object or, without room for one, this file again. Returns False if both fail."""
        new = self._path.with_name(f".{self._path.stem}.new")
        line, head = chain.link(self.head, text, is_first=True)
        try:
            new.unlink(missing_ok=True)
            file = _open(new)
            try:
                if os.write(file.fileno(), line + b"\n") <= len(line):
                    raise OSError("no room for a line")
                self._path.rename(self._older)
                new.rename(self._path)
            except OSError:
                file.close()
                raise
        except OSError:
            return self._begin_again(new, line, head)
        self.close()
        self._file, self.size, self.head, self._is_first = file, len(line) + 1, head, False
        return True

    def _begin_again(self, new: Path, line: bytes, head: str) -> bool:
        new.unlink(missing_ok=True)
        self._older.unlink(missing_ok=True)
        if self._file is None:
            return False
        os.ftruncate(self._file.fileno(), 0)
        try:
            whole = os.write(self._file.fileno(), line + b"\n") > len(line)
        except OSError:
            whole = False
        if not whole:
            os.ftruncate(self._file.fileno(), 0)
            self.size, self._is_first = 0, True
            return False
        self.size, self.head, self._is_first = len(line) + 1, head, False
        return True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _resume(self) -> None:
        """Opens the file. If it has lines of an earlier boot, continues their chain. Raises OSError."""
        file = _open(self._path)
        self.size = os.fstat(file.fileno()).st_size
        if chain.number(self.head) == 0:  # not after a close
            self._is_first = True
            if self.size:
                with self._path.open("rb") as reader:
                    reader.seek(max(0, self.size - TAIL_BYTES))
                    tail = reader.read()
                if not tail.endswith(b"\n"):  # it was killed while it wrote
                    self.size += os.write(file.fileno(), b"\n")
                links = (chain.split(line) for line in reversed(tail[: tail.rfind(b"\n") + 1].splitlines()))
                last = next((link for link in links if link is not None), None)
                if last is not None:
                    self.head, self._is_first = last.head, False
        self._file = file


def _open(path: Path) -> io.FileIO:
    def world_readable(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, 0o644)

    file = io.FileIO(str(path), "ab", opener=world_readable)
    os.fchmod(file.fileno(), 0o644)
    return file
