"""Builds the sandbox's root, with our files at the image's paths.

Under root it is an overlay on the machine's root that writes to memory. In a user namespace the kernel refuses that, so the
root is a tmpfs with read-only overlays of the system's folders (layers.py).

Length: both roots have the same files of ours.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import stat
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from backend import processes
from backend.contract.immutable import dataclass
from backend.contract.paths import Paths
from backend.sandbox import installation, layers, traces
from backend.sandbox.claude import FAKE_CLAUDE
from backend.sandbox.installation import LAUNCHERS, place, write
from backend.sandbox.namespaces import Mount, bind, mount, pivot
from backend.system import GIT
from backend.tmpfs import limits

HOLDERS = ("/mnt", "/media", "/srv", "/opt", "/home")  # one is covered by a tmpfs, in the new mount namespace only
# The system's own folders (hier(7)). All other names at the top are this machine's and are hidden.
SYSTEM = frozenset(("bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr", "var"))
MADE = frozenset(("dev", "proc", "run", "sys", "tmp"))  # mounted anew; /tmp by boot, before the agent starts
# The last two are OSTree's.
HIDDEN = ("var/tmp", "var/log", "var/mail", "var/spool/cron", "var/backups", *traces.FOLDERS, "var/home", "var/roothome")
WRITTEN = ("etc/claude-code/managed-settings.d", "etc/ssl/certs", "usr/local/bin", "var/log")  # folders with files of ours
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
WRITES_BYTES = 1 << 30
PACKAGES = ("network", "backend", "codetainer_tui")
Show = Callable[[Path, Path], None]  # layers.show
SHIPPED_SETTINGS = Path(__file__).parents[2] / "claude-settings.json"


@dataclass(frozen=True, slots=True)
class Sources:
    """The files to take from this machine, with all paths resolved.

    `certificate` is PEM text to trust inside, in addition to the system's CAs. `resolvers` are addresses for resolv.conf.
    `resume` is an archive of suspended work, `state` a folder for archives (CODETAINER_STATE), `work` a
    bundle of the operator's repository (own_folder).
    """

    coredns: Path
    confine: Path
    reader: Path
    claude: Path | None  # None: the sandbox has no Claude Code
    settings: Path  # skills/ and CLAUDE.md beside it are taken, too
    domains: Path
    credentials: Path | None = None
    certificate: bytes = b""
    resolvers: tuple[str, ...] = ()
    resume: Path | None = None
    state: Path | None = None
    work: Path | None = None


def build(sources: Sources) -> None:
    """Builds the root and pivots into it. Runs as the first process of new mount and pid namespaces. Raises OSError."""
    mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
    place = holder(
        (
            sources.coredns,
            sources.confine,
            sources.reader,
            sources.settings,
            sources.domains,
            *filter(
                None,
                (sources.claude and package(sources.claude), sources.credentials, sources.resume, sources.state, sources.work),
            ),
            Path(sys.prefix),
            LAUNCHERS,
        )
    )
    mount("tmpfs", place, "tmpfs", Mount.NOSUID | Mount.NODEV, f"{limits(WRITES_BYTES)},mode=0755")
    root = _layers(place, sources) if processes.in_user_namespace() else _on_overlay(place, sources)
    _devices(root)
    mount("proc", root / "proc", "proc", Mount.NOSUID | Mount.NODEV | Mount.NOEXEC)
    mount("sysfs", root / "sys", "sysfs", Mount.NOSUID | Mount.NODEV | Mount.NOEXEC | Mount.RDONLY)
    _hide(root / "sys", traces.FIRMWARE, Mount.RDONLY)
    mount("tmpfs", root / "run", "tmpfs", Mount.NOSUID | Mount.NODEV, f"{limits(16 << 20)},mode=0755")
    socket.sethostname("codetainer")
    pivot(root)
    os.umask(0o022)


def _on_overlay(place: Path, sources: Sources) -> Path:
    """Makes the root for root. Returns its path, below the tmpfs `place`."""
    root = place / "root"
    root.mkdir()
    for name in traces.tops(SYSTEM):
        layers.without(place / "writes/upper" / name)
    _overlay(Path("/"), root, place / "writes")
    for name in sorted(SYSTEM):
        below = Path("/") / name
        if below.is_mount() and not below.is_symlink():  # an overlay does not include file systems mounted below
            _overlay(below, root / name, place / f"writes-{name}")
    stay_inside(root)
    _hide(root, HIDDEN)
    _empty(root)
    scratch, empty = place / "scratch", place / "empty"
    for folder in (scratch, empty):
        folder.mkdir()
    show = partial(layers.show, scratch=scratch, empty=empty)
    for source, target in _install(root, root, sources, show):
        show(source, target)
    traces.remove(root, root, lambda file: file.unlink(missing_ok=True))
    _names(root, sources.resolvers)
    return root


def _layers(place: Path, sources: Sources) -> Path:
    """Makes the root in a user namespace, in the tmpfs `place` itself."""
    os.umask(0o022)
    points = layers.mount_points(Path("/proc/self/mountinfo").read_text())
    _empty(place)
    show = partial(layers.show, scratch=place / "mnt", empty=place / "media")
    binds = _install(place, Path("/"), sources, show)
    traces.remove(place, Path("/"), layers.without)
    _names(place, sources.resolvers)
    for _, target in binds:  # mount points: nothing can be created in an overlay without an upper layer
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    if sources.claude is None:
        layers.without(place / "usr/local/bin/claude")
    layers.lay(place, SYSTEM, points, HIDDEN)
    for source, target in binds:
        show(source, target)
    _hide(place, HIDDEN)
    installation.last_log(place)
    return place


def stay_inside(root: Path) -> None:
    """Replaces links out of the root by empty folders, where we write: they lead to the machine's own files. Raises OSError.

    What they lead to is not in the sandbox.
    """
    for name in WRITTEN:
        place = root
        for part in name.split("/"):
            place /= part
            if place.is_symlink() and not place.resolve().is_relative_to(root.resolve()):
                place.unlink()
                place.mkdir()


def keep(folder: Path, files: Mapping[str, str]) -> None:
    """Writes files that only root can read into a new folder. Raises OSError."""
    if files:
        folder.mkdir(mode=0o700)
    for name, text in files.items():
        (folder / name).touch(mode=0o400)
        (folder / name).write_text(text)


def holder(needed: Iterable[Path]) -> Path:
    """Finds a folder of this machine that can be covered, because no needed path is below it. Raises OSError."""
    paths = tuple(needed)
    for name in HOLDERS:
        folder = Path(name)
        if folder.is_dir() and not folder.is_symlink() and not any(path.is_relative_to(folder) for path in paths):
            return folder
    raise OSError(f"cannot make a root: none of {', '.join(HOLDERS)} can be covered")


def _overlay(lower: Path, target: Path, writes: Path) -> None:
    upper, work = writes / "upper", writes / "work"
    upper.mkdir(parents=True, exist_ok=True)  # it may have whiteouts
    work.mkdir()
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    mount("overlay", target, "overlay", Mount.NOSUID | Mount.NODEV, options)


def _hide(root: Path, names: Iterable[str], more: Mount = Mount.NONE) -> None:
    """Mounts an empty tmpfs over each of these folders, if it exists."""
    for name in names:
        folder = root / name
        if folder.is_dir() and not folder.is_symlink():
            mount("tmpfs", folder, "tmpfs", Mount.NOSUID | Mount.NODEV | more, f"{limits(64 << 20)},mode=0755")


def _empty(root: Path) -> None:
    """Creates the empty folders at the top, and root's home."""
    for name in sorted(MADE.union(traces.EMPTY)):
        (root / name).mkdir()
    (root / "root").mkdir(0o700)


# --- our own files, at the same paths as in the image (docs/architecture.md) ---


def _install(root: Path, base: Path, sources: Sources, show: Show) -> list[tuple[Path, Path]]:
    """Installs our files in `root`, below which those of `base` lie. Returns what is left to show: files and their places.

    Raises OSError.
    """
    opt, local = root / "opt/codetainer", root / "usr/local/bin"
    for name in PACKAGES:
        # Copied, not bound: a sandbox that runs for days keeps its version, even if the installed one is upgraded.
        shutil.copytree(_folder(name), opt / "lib" / name)
    show(Path(sysconfig.get_path("purelib")), opt / "site-packages")
    _venv(opt / "venv")
    show(sources.confine, opt / "confine")
    show(sources.reader, opt / "reader")
    _git(opt / "git", Path(GIT).resolve(), show)
    installation.install(root, base)
    (local / "coredns").unlink(missing_ok=True)
    binds = [(sources.coredns, local / "coredns")]
    (local / "claude").unlink(missing_ok=True)
    if sources.claude:
        binds += _claude(root, sources.claude, show)
    place(sources.domains, root / "opt/network/domains.conf", 0o644)
    if sources.credentials:
        place(sources.credentials, root / "opt/network/credentials.toml", 0o644)
    place(sources.settings, root / "opt/claude/settings.json", 0o644)
    for name in () if sources.settings == SHIPPED_SETTINGS else ("skills", "CLAUDE.md"):
        if (beside := sources.settings.with_name(name)).exists():
            show(beside, root / "opt/claude" / name)
    inside = Paths(root)
    if sources.resume:
        show(sources.resume, inside.resume)
    if sources.work:
        bind(sources.work, inside.work_bundle)  # in a folder of our own, which is removed while it is mounted
    if sources.state:
        bind(sources.state, inside.state, read_only=False)
    if sources.certificate:
        bundle = "etc/ssl/certs/ca-certificates.crt"
        write(root / bundle, (base / bundle).read_bytes() + sources.certificate)
    return binds


def _folder(name: str) -> Path:
    """The folder of one of our packages. Does not import it, because the backend may not import front ends. Raises OSError."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise OSError(f"cannot find the package {name}: the installation of Codetainer is incomplete")
    return Path(next(iter(spec.submodule_search_locations)))


def _venv(venv: Path) -> None:
    """Creates a minimal virtual environment: pyvenv.cfg tells the interpreter where site-packages is (PEP 405)."""
    site = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin/python3").symlink_to(interpreter())
    (venv / "pyvenv.cfg").write_text(f"home = {interpreter().parent}\ninclude-system-site-packages = false\n")
    (site / "codetainer.pth").write_text("/opt/codetainer/lib\n/opt/codetainer/site-packages\n")


def interpreter() -> Path:
    """The system interpreter behind the virtual environment."""
    return Path(sys._base_executable).resolve()  # type: ignore[attr-defined, unused-ignore]


def visible(path: Path) -> bool:
    """True if a path of this machine is visible inside a sandbox."""
    parts = path.resolve().parts
    return len(parts) > 1 and parts[1] in SYSTEM and not any(path.is_relative_to(f"/{hidden}") for hidden in HIDDEN)


def package(program: Path) -> Path:
    """The path that contains all files of a program: the folder of its npm package, or the program itself."""
    for folder in program.parents:
        if folder.name == "node_modules":
            break
        if (folder / "package.json").is_file():
            return folder
    return program


def _git(link: Path, program: Path, show: Show) -> None:
    """Puts this machine's git at the path where the launcher expects it. The launcher itself becomes /usr/local/bin/git."""
    if visible(program) and program.parent != Path("/usr/local/bin"):
        link.symlink_to(program)
    else:
        show(program, link)


def _claude(root: Path, program: Path, show: Show) -> list[tuple[Path, Path]]:
    """Installs the agent's program. Returns what is left to show."""
    link = root / "usr/local/bin/claude"
    if program == FAKE_CLAUDE:
        place(program, link, 0o755)
        return []
    folder = package(program)
    if folder == program:
        return [(program, link)]
    show(folder, root / "opt/claude-code")
    link.symlink_to(Path("/opt/claude-code") / program.relative_to(folder))
    node = shutil.which("node")
    if node and not visible(Path(node)):  # a version manager keeps it in a user's home
        return [(Path(node).resolve(), root / "usr/local/bin/node")]
    return []


# --- devices and names ---


def _devices(root: Path) -> None:
    """Mounts a minimal /dev with its own instance of devpts, so that none of this machine's terminals is in it."""
    dev = root / "dev"
    mount("tmpfs", dev, "tmpfs", Mount.NOSUID, f"{limits(1 << 20)},mode=0755")
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
