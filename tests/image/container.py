"""Boots the image in a pretend internet, with the interface of the tests in namespaces."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backend.contract.events import LockReleased
from backend.sandbox.enter import environment_for
from backend.sandbox.pretend.network import Pretend
from backend.system import AGENT, Identity
from tests.image import engine
from tests.netns.sandbox import INTERNET, LISTED, UNTIL_WE_END, Running, eventually

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


class Internet:
    """A pretend internet and the network namespace that it connects to, which a process keeps alive."""

    def __init__(self, description: Path, log: Path) -> None:
        self.pretend = Pretend(description, log)
        self.pretend.start()
        # pdeathsig: nothing is left, even if the tests are killed.
        self._holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--", "sleep", "infinity"])
        self.namespace = Path(f"/proc/{self._holder.pid}/ns/net")
        ours = Path("/proc/self/ns/net").readlink()
        eventually("there is a network namespace", lambda: self.namespace.readlink() != ours)
        self.pretend.connect(self._holder.pid)
        self.way_in = self.pretend.way_in(self._holder.pid)

    def end(self) -> None:
        self._holder.kill()
        self._holder.wait()
        self.pretend.end()


@dataclass(frozen=True, slots=True)
class Contained(Running):
    """A container that runs until the test ends. Commands in it run as with `podman exec`."""

    internet: Internet = field(kw_only=True)
    started_at: float = field(kw_only=True)  # when podman was started, seconds since the epoch
    id: str = field(kw_only=True)

    def command(self, identity: Identity, *argv: str) -> list[str]:
        return [*engine.PODMAN, "exec", "-i", f"--workdir={_folder(identity)}", self.name, *self._as(identity, argv)]

    def called(self, identity: Identity, *argv: str) -> tuple[list[str], dict[str, str] | None]:
        """The same through runc, with podman exec's rights and environment, but a third of its CPU time."""
        return ["runc", "exec", f"--cwd={_folder(identity)}", self.id, *self._as(identity, argv)], None

    def _as(self, identity: Identity, argv: Sequence[str]) -> list[str]:
        if identity is not AGENT:
            return list(argv)
        environment = (f"{name}={value}" for name, value in environment_for(AGENT, self.init).items())
        return AGENT.wrap(["env", "-i", *environment, *argv])

    def stop(self) -> int:
        try:
            return Running.stop(self)
        finally:
            self.internet.end()


def _folder(identity: Identity) -> str:
    return "/workspace" if identity is AGENT else "/"


def start(
    folder: Path,
    name: str,
    *options: str,
    internet: str = INTERNET,
    listed: str = LISTED,
    until_released: bool = True,
    engine_options: Sequence[str] = engine.LEAST,
    **environment: str,
) -> Contained:
    """Starts the image with the needed capabilities. Returns when its init lock is released.

    `options` are options of `codetainer up`, of which only `--credentials` is supported; `engine_options` are podman's.
    """
    (folder / "internet.toml").write_text(internet)
    (folder / "domains.conf").write_text(listed)
    seen = folder / "seen.jsonl"
    world = Internet(folder / "internet.toml", seen)
    bundle = folder / "authorities"
    bundle.write_bytes(Path(AUTHORITIES).read_bytes() + world.pretend.certificate)
    volumes = [(bundle, AUTHORITIES), (folder / "domains.conf", "/opt/network/domains.conf")]
    match options:
        case []:
            pass
        case ["--credentials", file]:
            volumes.append((Path(file), "/opt/network/credentials.toml"))
        case _:
            raise AssertionError(f"not supported in a container: {' '.join(options)}")
    variables = {**world.pretend.environment, **environment}
    # Arguments name the variables; their values are in podman's environment, out of sight of other processes.
    names = (word for variable in variables for word in ("--env", variable))
    pidfile, cidfile = folder / "pid", folder / "cid"
    for stale in (pidfile, cidfile):
        stale.unlink(missing_ok=True)
    command = engine.run(
        str(world.namespace), volumes, "--name", name, "--replace", f"--pidfile={pidfile}", f"--cidfile={cidfile}", *names,
        *engine_options,
    )  # fmt: skip
    started_at = time.time()
    process = subprocess.Popen(
        [*UNTIL_WE_END, *command], stdin=subprocess.DEVNULL, stdout=(folder / "out").open("w"),
        stderr=(folder / "err").open("w"), text=True, env={**os.environ, **variables},
    )  # fmt: skip

    def first_process() -> int:
        assert process.poll() is None, (folder / "err").read_text() + (folder / "out").read_text()
        return int(pidfile.read_text()) if pidfile.exists() and pidfile.stat().st_size else 0

    init = eventually(f"{name} runs", first_process)
    running = Contained(name, process, init, seen, internet=world, started_at=started_at, id=cidfile.read_text())
    if until_released:
        eventually("the init lock is released", lambda: running.paths.journal.exists() and running.events(LockReleased))
    return running
