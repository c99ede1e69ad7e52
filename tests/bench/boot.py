"""Boot and login: seconds until the session runs, CPU time, and memory afterwards."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import psutil

from backend.contract.events import LockReleased
from backend.contract.paths import AGENT_UID, Paths
from tests.bench.rows import Row, measures
from tests.bench.sandbox import command, cpu, resident, running

BOOTS = 3
LOGINS = 15
MARK = "the-session-is-here"
BASHRC = Path(__file__).parents[2] / "backend/launchers/login/root.bashrc"


@measures("boot_to_ready", "boot_cpu", "resident")
def boot() -> Iterator[Row]:
    """Measures a boot with dummy tokens and a clone, from the start of `up` until the init lock is released."""
    ready, spent, held = [], [], []
    for _ in range(BOOTS):
        with running() as sandbox:
            spent.append(sum(cpu(process) for process in sandbox.processes() if is_ours(process)))
            released = sandbox.first(LockReleased)
            assert isinstance(released.event, LockReleased) and released.event.session, "boot did not reach a session"
            ready.append(released.at - sandbox.started_at)
            held.append(resident(sandbox.service("boot")) + resident(sandbox.service("guard")))
    yield Row("boot_to_ready", statistics.median(ready), "s", most=6)
    yield Row("boot_cpu", statistics.median(spent), "s", most=2)
    yield Row("resident", statistics.median(held), "MB", most=70)


def is_ours(process: psutil.Process) -> bool:
    """True if the process runs Python, as all of Codetainer's do."""
    return any(program in word for word in command(process)[:1] for program in ("python", "codetainer"))


@measures("login_attach")
def login() -> Iterator[Row]:
    """Measures from the start of a login shell until the session is on its screen; yardstick: tmux on the same socket."""
    with running() as sandbox:
        (sandbox.paths.root / "root/.bashrc").write_text(BASHRC.read_text())
        socket = Paths().tmux_socket
        sandbox.run("mark", socket, MARK[:4], MARK[4:])
        bare = sandbox.run("attach", MARK, LOGINS, "tmux", "-S", socket, "attach-session", uid=AGENT_UID)
        shell = sandbox.run("attach", MARK, LOGINS, "env", "HOME=/root", "bash", "-i", uid=0)
    beside = statistics.median(bare)
    yield Row("login_attach", statistics.median(shell), "ms", most=beside + 10, yardstick="tmux attach", beside=beside)
