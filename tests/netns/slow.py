"""Simulates a slow link: runs a command and delays its input and output by SECONDS. `slow.py SECONDS COMMAND ...`"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from queue import SimpleQueue


def carry(source: int, target: int, seconds: float) -> threading.Thread:
    """Copies until the end of `source`, with a delay of `seconds`."""
    pieces: SimpleQueue[tuple[float, bytes]] = SimpleQueue()

    def read() -> None:
        while data := os.read(source, 65536):
            pieces.put((time.monotonic() + seconds, data))
        pieces.put((time.monotonic() + seconds, b""))

    def write() -> None:
        while True:
            at, data = pieces.get()
            time.sleep(max(0.0, at - time.monotonic()))
            if not data:
                os.close(target)
                return
            os.write(target, data)

    threading.Thread(target=read, daemon=True).start()
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    return writer


def main(seconds: float, command: list[str]) -> int:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        carry(0, os.dup(process.stdin.fileno()), seconds)
        process.stdin.close()
        carry(process.stdout.fileno(), 1, seconds).join()
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
