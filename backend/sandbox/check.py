"""`codetainer check`: what this machine lacks for a sandbox, what for, and how to get it. Found out by trying."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.contract.command_line import Parser
from backend.sandbox import claude, layout, namespaces
from backend.sandbox.namespaces import Mount, Namespace
from backend.sandbox.options import Net
from backend.system import SYSTEM_PATH
from network.firewall import ruleset

BUILT = Path(__file__).parents[2] / "build"
SOURCES = {"coredns": "network/dns/coredns", "confine": "backend/confine"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """`problem` is "" where it is met."""

    name: str
    purpose: str
    problem: str
    remedy: str


PROGRAMS = (
    ("nft", "firewall", "nftables"),
    ("haproxy", "connections by name", "haproxy"),
    ("tmux", "the session", "tmux"),
    ("git", "cloning", "git"),
    ("ip", "the sandbox's network", "iproute2"),
    ("conntrack", "cutting flows that are no longer allowed", "conntrack"),
    ("setpriv", "dropping privileges", "util-linux"),
    ("tini", "the sandbox's first process", "tini"),
    ("tput", "unknown terminals at login", "ncurses-bin"),
    ("setsid", "exporting the agent's work without the terminal", "util-linux"),
    ("flock", "checking the init lock at login", "util-linux"),
)


def built(name: str) -> Path | None:
    """A program of SOURCES as it was built beside them, else from the system's path."""
    if (BUILT / name).is_file():
        return BUILT / name
    found = shutil.which(name, path=SYSTEM_PATH)
    return Path(found) if found else None


def requirements() -> list[Requirement]:
    """Everything a sandbox needs, tried. Forks: nothing of this process is changed."""
    found = [
        Requirement("root", "namespaces, mounts and the firewall", "" if os.geteuid() == 0 else "not root", "Run it as root.")
    ]
    for program, purpose, package in PROGRAMS:
        problem = "" if shutil.which(program, path=SYSTEM_PATH) else "not found"
        found.append(Requirement(program, purpose, problem, f"Run apt-get install {package}."))
    for program, purpose in (("coredns", "policy for names"), ("confine", "the agent's system call filter")):
        problem = "" if built(program) else "not built"
        found.append(Requirement(program, purpose, problem, f"Run make setup to build it from {SOURCES[program]}."))
    try:
        ctypes.CDLL("libnftables.so.1")
        problem = ""
    except OSError:
        problem = "not found"
    found.append(
        Requirement("libnftables", "the guard's changes to the firewall", problem, "Run apt-get install libnftables1.")
    )
    seen = layout.visible(layout.interpreter())
    found.append(
        Requirement(
            "python",
            "boot, inside the sandbox",
            "" if seen else f"{layout.interpreter()} is out of the sandbox's sight",
            "Run make setup to make .venv from /usr/bin/python3.",
        )
    )
    if os.geteuid() == 0:
        for name, purpose, trial, remedy in TRIALS:
            found.append(Requirement(name, purpose, _try(trial), remedy))
    return found


def of_agent(net: Net) -> list[Requirement]:
    """What works in the sandbox: a pretend internet has a stand-in for it."""
    if net is Net.PRETEND:
        return []
    remedy = f"Run {claude.INSTALL}, or name its program with codetainer up --claude FILE."
    return [Requirement("claude", "the agent", claude.problem(claude.found()), remedy)]


def missing(found: Sequence[Requirement]) -> list[Requirement]:
    return [requirement for requirement in found if requirement.problem]


def _namespaces() -> None:
    namespaces.unshare(namespaces.SANDBOX)


def _overlay() -> None:
    namespaces.unshare(Namespace.MOUNT)
    namespaces.mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
    holder = layout.holder(())
    namespaces.mount("tmpfs", holder, "tmpfs", options="size=1m")
    for name in ("upper", "work", "root"):
        (holder / name).mkdir()
    options = f"lowerdir=/,upperdir={holder}/upper,workdir={holder}/work"
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


KERNEL = "Use a kernel with {}, or in a container give it --privileged or CAP_SYS_ADMIN and CAP_NET_ADMIN."
TRIALS: tuple[tuple[str, str, Callable[[], None], str], ...] = (
    ("namespaces", "the sandbox's walls", _namespaces, KERNEL.format("mount, network, pid, uts and ipc namespaces")),
    ("overlay", "a root whose writes land in memory", _overlay, KERNEL.format("CONFIG_OVERLAY_FS")),
    ("nf_tables", "the ruleset", _firewall, KERNEL.format("nf_tables (nft_ct, nft_log, nft_nat)")),
    ("NFLOG", "saying what was refused", _nflog, KERNEL.format("nfnetlink_log")),
    ("veth", "the sandbox's network", _veth, KERNEL.format("CONFIG_VETH")),
)  # fmt: skip


def _try(trial: Callable[[], None]) -> str:
    """What goes wrong when something is tried, in a process of its own; "" where it works."""
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


def table(found: Sequence[Requirement]) -> str:
    """A line for each: whether it is there, what for, and how to get it."""
    width = max(len(requirement.name) for requirement in found)
    lines = []
    for requirement in found:
        sign, rest = ("✓", requirement.purpose) if not requirement.problem else ("✗", "")
        if requirement.problem:
            rest = f"{requirement.problem}; needed for {requirement.purpose}. {requirement.remedy}"
        lines.append(f"  {sign} {requirement.name:<{width}}  {rest}")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    parser = Parser(prog="codetainer check", description="Say what this machine lacks for a sandbox.")
    parser.add_argument("--net", choices=[net.value for net in Net], default=Net.NAT.value,
                        help="as for up: a pretend internet needs no Claude Code (default: %(default)s)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(argv)
    found = [*requirements(), *of_agent(Net(options.net))]
    sys.stdout.write(json.dumps([asdict(r) for r in found]) + "\n" if options.json else table(found))
    return 1 if missing(found) else 0
