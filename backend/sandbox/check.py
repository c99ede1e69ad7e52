"""`codetainer check`: tries everything that a sandbox needs, and reports what this machine lacks and how to install it."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from backend import processes
from backend.contract.command_line import Parser
from backend.contract.immutable import dataclass
from backend.contract.verbs import BACKEND_VERBS
from backend.sandbox import claude, layout, namespaces, rootless
from backend.sandbox.namespaces import Mount, Namespace
from backend.sandbox.options import Net
from backend.system import SYSTEM_PATH
from backend.tmpfs import limits
from network.firewall import ruleset

BUILT = Path(__file__).parents[2] / "build"
SOURCES = {"coredns": "network/dns/coredns", "confine": "backend/confine", "reader": "network/gate/reader"}
PURPOSES = {
    "coredns": "DNS policy", "confine": "the agent's system call filter", "reader": "reading what the model is asked to do",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a sandbox needs. `problem` is "" if the machine has it."""

    name: str
    purpose: str
    problem: str
    remedy: str


ROOT = "root"
PROGRAMS = (
    ("nft", "firewall", "nftables"),
    ("haproxy", "the gate", "haproxy"),
    ("tmux", "the session", "tmux"),
    ("git", "cloning", "git"),
    ("ip", "the sandbox's network", "iproute2"),
    ("conntrack", "cutting connections that are no longer allowed", "conntrack"),
    ("setpriv", "dropping privileges", "util-linux"),
    ("tini", "the sandbox's first process", "tini"),
    ("tput", "logins from unknown terminals", "ncurses-bin"),
    ("setsid", "exporting the agent's work without the terminal", "util-linux"),
    ("flock", "checking the init lock at login", "util-linux"),
    ("tar", "suspending work", "tar"),
    ("zstd", "suspending work", "zstd"),
)


def built(name: str) -> Path | None:
    """The path of a program of SOURCES: in this clone's build folder, else on the system's PATH. None if it is missing."""
    if (BUILT / name).is_file():
        return BUILT / name
    path = shutil.which(name, path=SYSTEM_PATH)
    return Path(path) if path else None


def begin(net: Net) -> list[Requirement]:
    """Moves an ordinary user's process into a user namespace, in which it is root; then tries everything that a sandbox needs.

    The process must have a single thread.
    """
    lacks: list[rootless.Lack] = []
    if os.geteuid() != 0:
        program = built("userns")
        # Before joining: the user's groups, which may open /dev/net/tun, are left then.
        of_network = rootless.network_lacks() if net is Net.NAT else []
        lacks = rootless.lacks(program)
        if not lacks and program is not None:
            lacks = list(filter(None, [rootless.enter(program)]))
        lacks += of_network
    needed = "a sandbox without root"
    found = [Requirement(lack.name, needed, lack.problem, lack.remedy) for lack in lacks]
    return [*found, *(each for each in requirements() if not (found and each.name == ROOT))]  # the others say why


def requirements() -> list[Requirement]:
    """Tries everything that a sandbox needs. Kernel features are tried in child processes, so this one does not change."""
    root = Requirement(
        ROOT,
        "namespaces, mounts and the firewall",
        "not root",
        "Run it as root, or see Without root in docs/getting-started.md.",
    )
    results = [replace(root, problem="") if os.geteuid() == 0 else root]
    for program, purpose, package in PROGRAMS:
        problem = "" if shutil.which(program, path=SYSTEM_PATH) else "not found"
        results.append(Requirement(program, purpose, problem, f"Run apt-get install {package}."))
    for program, purpose in PURPOSES.items():
        problem = "" if built(program) else "not built"
        results.append(Requirement(program, purpose, problem, f"Run make setup to build it from {SOURCES[program]}."))
    try:
        ctypes.CDLL("libnftables.so.1")
        problem = ""
    except OSError:
        problem = "not found"
    results.append(
        Requirement("libnftables", "the guard's changes to the firewall", problem, "Run apt-get install libnftables1.")
    )
    visible = layout.visible(layout.interpreter())
    results.append(
        Requirement(
            "python",
            "boot, inside the sandbox",
            "" if visible else f"{layout.interpreter()} is not visible inside the sandbox",
            "Run make setup to make .venv from /usr/bin/python3.",
        )
    )
    if os.geteuid() == 0:
        apart = processes.in_user_namespace()
        for name, purpose, trial, remedy in (*TRIALS, *(IN_USER_NAMESPACE if apart else ())):
            problem = _try(trial)
            results.append(
                Requirement(name, purpose, problem, rootless.remedy(built("userns")) if apart and trial is _overlay else remedy)
            )
    return results


def of_agent(net: Net) -> list[Requirement]:
    """Claude Code as a requirement. With a pretend internet, which has a stand-in, the list is empty."""
    if net is Net.PRETEND:
        return []
    remedy = f"Run {claude.INSTALL}, or name its program with codetainer up --claude FILE."
    return [Requirement("claude", "the agent", claude.problem(claude.installed()), remedy)]


def missing(results: Sequence[Requirement]) -> list[Requirement]:
    return [requirement for requirement in results if requirement.problem]


def _namespaces() -> None:
    namespaces.unshare(namespaces.SANDBOX)


def _overlay() -> None:
    namespaces.unshare(Namespace.MOUNT)
    namespaces.mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
    holder = layout.holder(())
    namespaces.mount("tmpfs", holder, "tmpfs", options=limits(1 << 20))
    for name in ("upper", "lower", "work", "root"):
        (holder / name).mkdir()
    options = f"lowerdir=/,upperdir={holder}/upper,workdir={holder}/work"
    if processes.in_user_namespace():
        options = f"lowerdir={holder}/upper:{holder}/lower"
    namespaces.mount("overlay", holder / "root", "overlay", options=options)


def _firewall() -> None:
    from backend.guard.nftables import Nftables

    namespaces.unshare(Namespace.NET)
    Nftables().run(ruleset.render(ruleset.Rules(with_gate=True, upstreams=(ruleset.Upstream("203.0.113.53"),))))


def _nflog() -> None:
    from backend.guard import nflog

    namespaces.unshare(Namespace.NET)
    nflog.open_socket().close()


def _veth() -> None:
    from backend import system

    namespaces.unshare(Namespace.NET)
    system.run(["ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"])


def _proc() -> None:
    """In a user namespace the kernel refuses these file systems if something covers a part of the machine's."""
    namespaces.unshare(Namespace.MOUNT | Namespace.PID | Namespace.NET)
    namespaces.mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
    holder = layout.holder(())
    if problem := _try(lambda: namespaces.mount("proc", holder, "proc")):  # in a child, which is in the new pid namespace
        raise OSError(problem)
    namespaces.mount("sysfs", holder, "sysfs", Mount.RDONLY)


KERNEL = "Use a kernel with {}, or in a container give it --privileged or CAP_SYS_ADMIN and CAP_NET_ADMIN."
TRIALS: tuple[tuple[str, str, Callable[[], None], str], ...] = (
    ("namespaces", "isolating the sandbox", _namespaces, KERNEL.format("mount, network, pid, uts and ipc namespaces")),
    ("overlay", "a root file system that writes to memory", _overlay, KERNEL.format("CONFIG_OVERLAY_FS")),
    ("nf_tables", "the firewall's ruleset", _firewall, KERNEL.format("nf_tables (nft_ct, nft_log, nft_nat)")),
    ("NFLOG", "reporting refused connections", _nflog, KERNEL.format("nfnetlink_log")),
    ("veth", "the sandbox's network", _veth, KERNEL.format("CONFIG_VETH")),
)  # fmt: skip

IN_USER_NAMESPACE: tuple[tuple[str, str, Callable[[], None], str], ...] = (
    ("proc and sysfs", "processes and devices of the sandbox", _proc,
     "Run it outside of a container, or as root: something is mounted over a part of /proc or /sys."),
)  # fmt: skip


def _try(trial: Callable[[], None]) -> str:
    """Runs a trial in a child process. Returns its error, "" if it works."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            trial()
        except BaseException as error:
            os.write(writing, (str(error) or type(error).__name__).encode()[:500])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, errors="replace") as pipe:
        problem = pipe.read()
    os.waitpid(child, 0)
    return problem


def table(results: Sequence[Requirement]) -> str:
    """One line per requirement: met or not, its purpose, and the remedy."""
    width = max(len(requirement.name) for requirement in results)
    lines = []
    for requirement in results:
        sign, rest = ("✓", requirement.purpose) if not requirement.problem else ("✗", "")
        if requirement.problem:
            rest = f"{requirement.problem}; needed for {requirement.purpose}. {requirement.remedy}"
        lines.append(f"  {sign} {requirement.name:<{width}}  {rest}")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    parser = Parser(prog="codetainer check", description=BACKEND_VERBS["check"])
    parser.add_argument("--net", choices=[net.value for net in Net], default=Net.NAT.value,
                        help="check for up with this --net; pretend needs no Claude Code (default: %(default)s)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    net = Net(options.net)
    results = [*begin(net), *of_agent(net)]
    sys.stdout.write(json.dumps([asdict(r) for r in results]) + "\n" if options.json else table(results))
    return 1 if missing(results) else 0
