"""Boot and login: how long until the session is there, what it costs, and what stays in memory."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from backend.contract.events import LockReleased
from backend.contract.paths import AGENT_UID, Paths
from tests.bench.rows import Row, measures
from tests.bench.sandbox import running

BOOTS = 3
LOGINS = 15
MARK = "the-session-is-here"
BASHRC = Path(__file__).parents[2] / "backend/launchers/login/root.bashrc"


@measures("boot_to_ready", "boot_cpu", "resident")
def boot() -> Iterator[Row]:
    """The demo's boot with dummy tokens and a clone, from the call of `up` until the init lock is released."""
    ready, cpu, resident = [], [], []
    for _ in range(BOOTS):
        with running() as sandbox:
            ours = [
                process for process in sandbox.processes() if "python" in process.argv[0] or "codetainer" in process.argv[0]
            ]
            cpu.append(sum(process.cpu for process in ours))
            released = sandbox.first(LockReleased)
            assert isinstance(released.event, LockReleased) and released.event.session, "boot did not reach a session"
            ready.append(released.at - sandbox.started_at)
            resident.append(sandbox.service("boot").resident + sandbox.service("guard").resident)
    yield Row("boot_to_ready", statistics.median(ready), "s", most=6)
    yield Row("boot_cpu", statistics.median(cpu), "s", most=2)
    yield Row("resident", statistics.median(resident), "MB", most=70)


@measures("login_attach")
def login() -> Iterator[Row]:
    """From the start of a login shell until the session is on its screen, beside bare tmux on the same socket."""
    with running() as sandbox:
        (sandbox.paths.root / "root/.bashrc").write_text(BASHRC.read_text())
        socket = Paths().tmux_socket
        sandbox.run("mark", socket, MARK[:4], MARK[4:])
        bare = sandbox.run("attach", MARK, LOGINS, "tmux", "-S", socket, "attach-session", uid=AGENT_UID)
        shell = sandbox.run("attach", MARK, LOGINS, "env", "HOME=/root", "bash", "-i", uid=0)
    beside = statistics.median(bare)
    yield Row("login_attach", statistics.median(shell), "ms", most=beside + 10, yardstick="tmux attach", beside=beside)
