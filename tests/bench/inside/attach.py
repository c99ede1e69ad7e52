"""Prints the milliseconds from a program's start on a new terminal until a text appears: TEXT TIMES PROGRAM..."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

SIZE = struct.pack("4H", 50, 200, 0, 0)  # the session's own size, so that tmux need not resize it


def once(text: bytes, argv: "list[str]") -> float:
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, SIZE)
        os.execvp(argv[0], argv)
    seen = b""
    while text not in seen:
        if not select.select([terminal], [], [], 10)[0]:
            raise SystemExit(f"{argv}: {text!r} did not appear: {seen[-300:]!r}")
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            raise SystemExit(f"{argv} has ended: {seen[-300:]!r}") from None
    took = (time.perf_counter() - started) * 1000
    os.kill(pid, signal.SIGHUP)
    os.close(terminal)
    os.waitpid(pid, 0)
    return took


text, times, argv = sys.argv[1].encode(), int(sys.argv[2]), sys.argv[3:]
print(json.dumps([once(text, argv) for _ in range(times)]))
