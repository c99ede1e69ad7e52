"""The sandbox's root: an overlay of this machine's, whose writes land in memory, with our own files where an image has them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import stat
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.sandbox import installation
from backend.sandbox.claude import FAKE_CLAUDE
from backend.sandbox.installation import LAUNCHERS, place, write
from backend.sandbox.namespaces import Mount, bind, mount, pivot
from backend.system import GIT

HOLDERS = ("/mnt", "/media", "/srv", "/opt", "/home")  # one of them is covered by a tmpfs, in the new mount namespace only
# What belongs to the system (hier(7)). Everything else at the top is people's: covered, whatever it is called.
SYSTEM = frozenset(("bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr", "var"))
MADE = frozenset(("dev", "proc", "run", "sys", "tmp"))  # made anew; /tmp by boot, before the agent is there
HIDDEN = ("var/tmp", "var/log", "var/mail", "var/spool/cron", "var/backups")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
WRITES_BYTES = 1 << 30
PACKAGES = ("network", "backend", "codetainer_tui")
SHIPPED_SETTINGS = Path(__file__).parents[2] / "claude-settings.json"


@dataclass(frozen=True, slots=True)
class Sources:
    """What is taken from this machine, every path resolved. `certificate`: PEM, trusted inside beside the system's own."""

    coredns: Path
    confine: Path
    claude: Path | None  # in the agent's pane; None for nothing
    settings: Path  # with skills/ and CLAUDE.md beside it, if they are
    domains: Path
    credentials: Path | None = None
    certificate: bytes = b""
    resolvers: tuple[str, ...] = ()


def build(sources: Sources) -> None:
    """Makes the root and goes into it. Runs in new mount and pid namespaces, as their first process. Raises OSError."""
    mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
    place = holder(
        (
            sources.coredns,
            sources.confine,
            sources.settings,
            sources.domains,
            *filter(None, (sources.claude and package(sources.claude), sources.credentials)),
            Path(sys.prefix),
            LAUNCHERS,
        )
    )
    mount("tmpfs", place, "tmpfs", Mount.NOSUID | Mount.NODEV, f"size={WRITES_BYTES},mode=0755")
    root = place / "root"
    root.mkdir()
    _overlay(Path("/"), root, place / "writes")
    for name in sorted(SYSTEM):
        below = Path("/") / name
        if below.is_mount() and not below.is_symlink():  # an overlay stops at a file system's edge
            _overlay(below, root / name, place / f"writes-{name}")
    _hide(root)
    _install(root, sources)
    _devices(root)
    mount("proc", root / "proc", "proc", Mount.NOSUID | Mount.NODEV | Mount.NOEXEC)
    mount("sysfs", root / "sys", "sysfs", Mount.NOSUID | Mount.NODEV | Mount.NOEXEC | Mount.RDONLY)
    mount("tmpfs", root / "run", "tmpfs", Mount.NOSUID | Mount.NODEV, "size=16m,mode=0755")
    _names(root, sources.resolvers)
    pivot(root)
    os.umask(0o022)


def keep(folder: Path, files: Mapping[str, str]) -> None:
    """Writes files that only root can read. Raises OSError."""
    if files:
        folder.mkdir(mode=0o700)
    for name, text in files.items():
        (folder / name).touch(mode=0o400)
        (folder / name).write_text(text)


def holder(needed: Iterable[Path]) -> Path:
    """A folder of this machine that may be covered: nothing that is needed lies below it. Raises OSError."""
    paths = tuple(needed)
    for name in HOLDERS:
        folder = Path(name)
        if folder.is_dir() and not folder.is_symlink() and not any(path.is_relative_to(folder) for path in paths):
            return folder
    raise OSError(f"cannot make a root: none of {', '.join(HOLDERS)} can be covered")


def _overlay(lower: Path, target: Path, writes: Path) -> None:
    upper, work = writes / "upper", writes / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    mount("overlay", target, "overlay", Mount.NOSUID | Mount.NODEV, options)


def _hide(root: Path) -> None:
    """What people keep on this machine is none of the agent's business."""
    tops = [entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    for name in (*(top for top in tops if top not in SYSTEM | MADE), *HIDDEN):
        folder = root / name
        if folder.is_dir() and not folder.is_symlink():
            mount("tmpfs", folder, "tmpfs", Mount.NOSUID | Mount.NODEV, "size=64m,mode=0755")
    (root / "root").mkdir(exist_ok=True)
    (root / "root").chmod(0o700)


# --- our own files, under the names that the image gives them (docs/architecture.md) ---


def _install(root: Path, sources: Sources) -> None:
    opt, local = root / "opt/codetainer", root / "usr/local/bin"
    for name in PACKAGES:
        # Copies: where a newer version is put in its place, a sandbox that has run for days goes on with what it began with.
        shutil.copytree(_folder(name), opt / "lib" / name)
    bind(Path(sysconfig.get_path("purelib")), opt / "site-packages")
    _venv(opt / "venv")
    bind(sources.confine, opt / "confine")
    _git(opt / "git", Path(GIT).resolve())
    installation.install(root)
    (local / "coredns").unlink(missing_ok=True)
    bind(sources.coredns, local / "coredns")
    (local / "claude").unlink(missing_ok=True)
    if sources.claude:
        _claude(root, sources.claude)
    place(sources.domains, root / "opt/network/domains.conf", 0o644)
    if sources.credentials:
        place(sources.credentials, root / "opt/network/credentials.toml", 0o644)
    place(sources.settings, root / "opt/claude/settings.json", 0o644)
    for name in () if sources.settings == SHIPPED_SETTINGS else ("skills", "CLAUDE.md"):
        if (beside := sources.settings.with_name(name)).exists():
            bind(beside, root / "opt/claude" / name)
    if sources.certificate:
        bundle = root / "etc/ssl/certs/ca-certificates.crt"
        write(bundle, bundle.read_bytes() + sources.certificate)


def _folder(name: str) -> Path:
    """Where one of our packages lies. Found, not imported: the backend does not know its front ends."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise OSError(f"cannot find the package {name}: install Codetainer whole")
    return Path(next(iter(spec.submodule_search_locations)))


def _venv(venv: Path) -> None:
    """A skeleton of a virtual environment: the interpreter finds its site-packages by pyvenv.cfg (PEP 405)."""
    site = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin/python3").symlink_to(interpreter())
    (venv / "pyvenv.cfg").write_text(f"home = {interpreter().parent}\ninclude-system-site-packages = false\n")
    (site / "codetainer.pth").write_text("/opt/codetainer/lib\n/opt/codetainer/site-packages\n")


def interpreter() -> Path:
    """The interpreter that the virtual environment was made from."""
    return Path(sys._base_executable).resolve()  # type: ignore[attr-defined, unused-ignore]


def visible(path: Path) -> bool:
    """Whether a path of this machine is seen inside a sandbox too."""
    parts = path.resolve().parts
    return len(parts) > 1 and parts[1] in SYSTEM and not any(path.is_relative_to(f"/{hidden}") for hidden in HIDDEN)


def package(program: Path) -> Path:
    """What a program needs beside itself: the folder of its npm package, else nothing but its file."""
    for folder in program.parents:
        if folder.name == "node_modules":
            break
        if (folder / "package.json").is_file():
            return folder
    return program


def _git(link: Path, program: Path) -> None:
    """This machine's git, where the launcher looks for it, which takes its name in /usr/local/bin."""
    if visible(program) and program.parent != Path("/usr/local/bin"):
        link.symlink_to(program)
    else:
        bind(program, link)


def _claude(root: Path, program: Path) -> None:
    link = root / "usr/local/bin/claude"
    if program == FAKE_CLAUDE:
        place(program, link, 0o755)
        return
    whole = package(program)
    if whole == program:
        bind(program, link)
        return
    bind(whole, root / "opt/claude-code")
    link.symlink_to(Path("/opt/claude-code") / program.relative_to(whole))
    node = shutil.which("node")
    if node and not visible(Path(node)):  # a version manager keeps it in somebody's home
        bind(Path(node).resolve(), root / "usr/local/bin/node")


# --- what every root has ---


def _devices(root: Path) -> None:
    """A /dev with what a program needs, and terminals of its own: none of this machine's is in it."""
    dev = root / "dev"
    mount("tmpfs", dev, "tmpfs", Mount.NOSUID, "size=1m,mode=0755")
    for name in DEVICES:
        source = Path("/dev") / name
        if stat.S_ISCHR(source.stat().st_mode):
            (dev / name).touch()
            mount(str(source), dev / name, flags=Mount.BIND)
    (dev / "pts").mkdir()
    mount("devpts", dev / "pts", "devpts", Mount.NOSUID | Mount.NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "shm").mkdir()
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")


def _names(root: Path, resolvers: Sequence[str]) -> None:
    write(root / "etc/hostname", b"codetainer\n")
    write(root / "etc/hosts", b"127.0.0.1 localhost codetainer\n::1 localhost\n")
    write(root / "etc/resolv.conf", "".join(f"nameserver {address}\n" for address in resolvers).encode())
    socket.sethostname("codetainer")
