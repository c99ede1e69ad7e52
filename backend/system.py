"""The one door to processes, mounts and ownership. Lint forbids `subprocess` anywhere else.

Every effect is an argument list and a list of what the child may have: no shell, no inherited environment, no inherited
descriptor, and an identity that says as whom. Each is reported to the observer (backend/commands.py), if there is one.

Length: one door, in one place.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend import commands
from backend.contract.paths import AGENT_UID, COREDNS_UID, EXPORTER_UID, GATE_UID, GUARD_UID, Paths

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SETPRIV = shutil.which("setpriv", path=SYSTEM_PATH) or "/usr/bin/setpriv"
# git itself: in a sandbox the first `git` of the PATH is a launcher, which for root runs it as the agent.
GIT = str(Paths().git) if Paths().git.exists() else shutil.which("git", path=SYSTEM_PATH) or "/usr/bin/git"
MAX_ERRORS = 64 << 10
MAX_SAID = 64 << 20
MAX_AGENT_OUTPUT = 1 << 20  # bytes that a process of the agent's may write to stdout, and as many to stderr
PAGE = os.sysconf("SC_PAGE_SIZE")
LAST_LINES_SECONDS = 1.0  # between a service's end and its last lines, for the observer
Environment = Mapping[str, str]
# With CAP_SYS_ADMIN there, it is the engine's profile that says no.
MOUNT_HINT = "Start the container with --security-opt apparmor=unconfined: Docker's AppArmor profile refuses mounts."
BASE_ENVIRONMENT: Environment = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"}


class SystemFailure(Exception):
    """An effect that did not happen: "cannot X: reason", and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def in_words(error: OSError) -> str:
    """What went wrong, without its number: "/dev/net/tun: No such file or directory"."""
    words = error.strerror or str(error)
    return f"{error.filename}: {words}" if error.filename else words


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom a process runs: uid (and the gid of the same number), and the capabilities it keeps, e.g. ("net_admin",).

    Everybody but root runs without supplementary groups, with no-new-privs and with a bounding set of just its capabilities.
    `through` is a program that confines it further. It is run first, as root: a process that is already somebody's, and not yet
    confined, could be taken over by others of that uid (ptrace(2)).
    """

    name: str
    uid: int
    capabilities: tuple[str, ...] = ()
    through: tuple[str, ...] = ()

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The argument list that drops to this identity and then runs `argv` (setpriv(1)).

        What is run as root has its whole path: the environment is that of the process to come, and the agent's PATH begins
        with a folder of its own.
        """
        if self.uid == 0:
            return list(argv)
        keep = ",".join(["-all", *(f"+{name}" for name in self.capabilities)])
        return [
            *self.through, SETPRIV, f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--no-new-privs",
            f"--bounding-set={keep}", f"--inh-caps={keep}", f"--ambient-caps={keep}", "--", *argv,
        ]  # fmt: skip


ROOT = Identity("root", 0)
AGENT = Identity("claude", AGENT_UID, through=(str(Paths().confine),))  # a system call filter: backend/confine/
COREDNS = Identity("coredns", COREDNS_UID, ("net_bind_service",))
GUARD = Identity("guard", GUARD_UID, ("net_admin",))
GATE = Identity("gate", GATE_UID)
EXPORTER = Identity("exporter", EXPORTER_UID)


def name_of(uid: int) -> str:
    """The name of the identity with this uid."""
    known = (ROOT, AGENT, COREDNS, GUARD, GATE, EXPORTER)
    return next((identity.name for identity in known if identity.uid == uid), f"uid {uid}")


def actual_name(identity: Identity = ROOT) -> str:
    """Who runs what is started with this identity: ROOT only if this process is root, since it drops nothing."""
    return name_of(identity.uid or os.geteuid())


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that has ended: its code (negative: a signal) and what it said."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """What a program usually means by its failure: the last line it wrote to stderr, else to stdout."""
        lines = [line for line in (self.err.strip() or self.out.strip()).splitlines() if "dmesg(1)" not in line]  # mount(8)
        return lines[-1] if lines else f"exit code {self.code}"

    def value(self) -> Any:
        """What it said, as JSON. Raises ValueError, also for what is nested deeper than can be read."""
        try:
            return json.loads(self.out)
        except RecursionError as error:
            raise ValueError("nested too deep") from error


def _cannot_run(argv: Sequence[str], error: OSError) -> SystemFailure:
    """Also where there is no process, descriptor or memory left for it: the agent may use them up, and give them back."""
    if isinstance(error, FileNotFoundError):
        return SystemFailure(f"cannot run {argv[0]}: not found", "Run codetainer check to see what is missing.")
    return SystemFailure(f"cannot run {argv[0]}: {error.strerror or error}")


@contextlib.contextmanager
def _memory_files(argv: Sequence[str], count: int, most: int | None = None) -> Iterator[list[int]]:
    """Files for what a process is told and says, closed at the end. Raises SystemFailure.

    With `most`, no more than so many bytes, rounded up to a page, can be written into one: the kernel refuses to let it grow
    (fcntl(2), F_SEAL_GROW). Such a file has its whole size from the start, and nobody can open it anew to truncate it.
    """
    with contextlib.ExitStack() as opened:
        files = []
        try:
            for _ in range(count):
                files.append(os.memfd_create(Path(argv[0]).name[:40], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
                opened.callback(os.close, files[-1])
                if most is not None:
                    os.ftruncate(files[-1], -(-most // PAGE) * PAGE)
                    fcntl.fcntl(files[-1], fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        except OSError as error:
            raise _cannot_run(argv, error) from error
        yield files


def _written(descriptor: int, most: int | None) -> str:
    """What stands in a memory file. One that had its whole size from the start has zeros behind it."""
    if most is None:
        return os.pread(descriptor, MAX_SAID, 0).decode(errors="replace")
    return os.pread(descriptor, most, 0).rstrip(b"\0").decode(errors="replace")


def run(
    argv: Sequence[str],
    *,
    identity: Identity = ROOT,
    environment: Mapping[str, str] = BASE_ENVIRONMENT,
    input: str | None = None,  # noqa: A002 (the name subprocess gives it)
    cwd: Path | str = "/",
    timeout: float = 30.0,
    check: bool = True,
) -> Finished:
    """Runs a process to its end. Raises SystemFailure if it cannot start, outlasts `timeout` (s), or (`check`) fails.

    What it says goes into memory files, in which a process of the agent's finds room for MAX_AGENT_OUTPUT (see `run_async`).
    """
    most = MAX_AGENT_OUTPUT if identity.uid == AGENT_UID else None
    command = identity.wrap(argv)
    with (
        commands.observed(
            argv, identity=actual_name(identity), environment=environment, cwd=cwd, exec_argv=command, stdin=input
        ) as outcome,
        _memory_files(argv, 2, most) as (out, err),
    ):
        try:
            with _last_lines(outcome, err):
                done = subprocess.run(
                    command, env=dict(environment), input=input, cwd=cwd, timeout=timeout, stdout=out, stderr=err,
                    text=True, stdin=subprocess.DEVNULL if input is None else None, umask=0o022, check=False,
                )  # fmt: skip
        except OSError as error:
            raise _cannot_run(argv, error) from error
        except subprocess.TimeoutExpired as error:
            raise SystemFailure(f"cannot wait for {argv[0]}: not done within {timeout:g} s") from error
        outcome.code = done.returncode
        finished = Finished(tuple(argv), done.returncode, _written(out, most), _written(err, most))
    if check and finished.code != 0:
        raise SystemFailure(f"cannot run {argv[0]}: {finished.last_line}")
    return finished


def run_bytes(argv: Sequence[str], environment: Mapping[str, str], data: bytes, *, timeout: float = 60.0) -> bytes:
    """Runs a filter over bytes; returns what it writes. Raises SystemFailure."""
    with commands.observed(argv, identity=actual_name(), environment=environment, cwd="/", stdin=data) as outcome:
        try:
            done = subprocess.run(argv, env=dict(environment), input=data, capture_output=True, timeout=timeout, cwd="/")
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SystemFailure(f"cannot run {argv[0]}: {error}") from error
        outcome.code, outcome.stderr = done.returncode, done.stderr.decode(errors="replace")
    if done.returncode != 0:
        raise SystemFailure(f"cannot run {argv[0]}: {done.stderr.decode(errors='replace').strip() or done.returncode}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Answered:
    """A process that has ended, in bytes. `whole` is false where it said more than was wanted: it was ended for that."""

    code: int
    out: bytes
    err: str
    whole: bool = True


def ask(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path | str,
    input: bytes = b"",  # noqa: A002
    timeout: float,
    most: int,
    stdout: int | None = None,
) -> Answered:
    """Runs a program as who this process is, and reads at most `most` bytes of what it says (`stdout`: none, it goes there).

    Its errors and its input are memory files: neither can fill a pipe that nobody reads. Raises SystemFailure where it cannot
    start or outlasts `timeout` (s).
    """
    with (
        commands.observed(argv, identity=actual_name(), environment=environment, cwd=cwd, stdin=input) as outcome,
        _memory_files(argv, 2) as (given, errors),
    ):
        os.write(given, input)
        os.lseek(given, 0, os.SEEK_SET)
        try:
            process = subprocess.Popen(
                argv, env=dict(environment), cwd=cwd, stdin=given, stdout=subprocess.PIPE if stdout is None else stdout,
                stderr=errors, umask=0o022,
            )  # fmt: skip
        except OSError as error:
            raise _cannot_run(argv, error) from error
        with _bounded(process, timeout), _last_lines(outcome, errors):
            out = process.stdout.read(most + 1) if process.stdout is not None else b""
            if len(out) > most:
                process.kill()
            code = process.wait()
        outcome.code = code
        return Answered(code, out[:most], _end_of(errors), len(out) <= most)


def feed(
    argv: Sequence[str], *, environment: Mapping[str, str], cwd: Path | str, pieces: Iterable[bytes], timeout: float
) -> Answered:
    """Runs a program as who this process is and writes `pieces` to its stdin; what it says on stdout goes nowhere.

    Whoever reads no further ends it: its code then tells why. Raises SystemFailure as `ask`.
    """
    with (
        commands.observed(argv, identity=actual_name(), environment=environment, cwd=cwd) as outcome,
        _memory_files(argv, 1) as (errors,),
    ):
        try:
            process = subprocess.Popen(
                argv,
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                umask=0o022,
            )
        except OSError as error:
            raise _cannot_run(argv, error) from error
        assert process.stdin is not None
        with _bounded(process, timeout), _last_lines(outcome, errors):
            with contextlib.suppress(BrokenPipeError):
                for piece in pieces:
                    process.stdin.write(piece)
                process.stdin.close()
            code = process.wait()
        outcome.code = code
        return Answered(code, b"", _end_of(errors))


@contextlib.contextmanager
def _bounded(process: subprocess.Popen[bytes], timeout: float) -> Iterator[None]:
    """Ends a process that outlasts `timeout` (s), and whatever else ends the block. Raises SystemFailure if it did."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout, end)
    timer.start()
    try:
        yield
    except BaseException:  # a key that ends this process does not reach one in a session of its own
        process.kill()
        process.wait()
        raise
    finally:
        timer.cancel()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what is left to write has no reader any more
                    pipe.close()
    if late.is_set():
        name = Path(str(process.args[0] if isinstance(process.args, list) else process.args)).name
        raise SystemFailure(f"cannot wait for {name}: not done within {timeout:g} s")


@contextlib.contextmanager
def _last_lines(outcome: commands.Outcome, errors: int) -> Iterator[None]:
    """When the block is left, however it is, the outcome gets the end of what was written to the memory file."""
    try:
        yield
    finally:
        if outcome.observed:
            outcome.stderr = commands.last_lines_of(errors)


def _end_of(errors: int) -> str:
    """The last of what a program wrote to its memory file."""
    return os.pread(errors, MAX_ERRORS, max(0, os.fstat(errors).st_size - MAX_ERRORS)).decode(errors="replace")


async def run_distrusted(
    argv: Sequence[str], *, what: str, identity: Identity, environment: Environment, seconds: float, most: int
) -> Finished:
    """As `run_async`, for a process that others of its uid may meddle with: what it says goes into memory files.

    A pipe stays open for as long as anybody holds it, and whoever waits for its end waits for them. The files have room for
    `most` bytes each, which are read once the process has ended; a write beyond them fails. Lines of an observer in it are
    handed to the one here. Raises SystemFailure, with `what` it is, if the process cannot start or has not ended within
    `seconds`.
    """
    name = actual_name(identity)
    with (
        commands.observed(argv, identity=name, environment=environment, cwd="/", exec_argv=identity.wrap(argv)) as outcome,
        _memory_files(argv, 2, most) as (said, errors),
    ):
        process = await _start(argv, identity, environment, stdout=said, stderr=errors)
        try:
            code = await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError as error:
            raise SystemFailure(f"cannot wait for {what}: not done within {seconds:.3g} s") from error
        finally:
            kill_group(process)
            own = [line for line in _written(errors, most).splitlines() if not commands.relayed(line, name)]
            outcome.stderr = "\n".join(own)
        outcome.code = code
        out = _written(said, most)
    return Finished(tuple(argv), code, out, outcome.stderr)


async def run_async(
    argv: Sequence[str],
    *,
    identity: Identity = ROOT,
    environment: Mapping[str, str] = BASE_ENVIRONMENT,
    input: str | None = None,  # noqa: A002
    cwd: Path | str = "/",
    timeout: float = 30.0,  # noqa: ASYNC109 (the child has to be killed, not only forgotten)
    check: bool = True,
    most: int | None = None,
) -> Finished:
    """As `run`, beside other steps. A cancelled caller kills the process group it started.

    What it is told and what it says are memory files: a pipe stays open for as long as anybody holds it, and a process of the
    agent's can be made to say anything, without end, by others of its uid. With `most` (bytes; MAX_AGENT_OUTPUT for the
    agent's) more cannot be written to either of them. Without it, MAX_SAID are read.
    """
    if most is None and identity.uid == AGENT_UID:
        most = MAX_AGENT_OUTPUT
    with (
        commands.observed(
            argv, identity=actual_name(identity), environment=environment, cwd=cwd, exec_argv=identity.wrap(argv), stdin=input
        ) as outcome,
        _memory_files(argv, 1) as (given,),
        _memory_files(argv, 2, most) as (out, err),
        _last_lines(outcome, err),
    ):
        if input is not None:
            os.pwrite(given, input.encode(), 0)
        process = await _start(
            argv, identity, environment, cwd=cwd, stdin=asyncio.subprocess.DEVNULL if input is None else given, stdout=out,
            stderr=err,
        )  # fmt: skip
        try:
            code = await asyncio.wait_for(process.wait(), timeout)
        except TimeoutError as error:
            raise SystemFailure(f"cannot wait for {argv[0]}: not done within {timeout:g} s") from error
        finally:
            kill_group(process)
        outcome.code = code
        said, errors = _written(out, most), _written(err, most)
    finished = Finished(tuple(argv), code, said, errors)
    if check and finished.code != 0:
        raise SystemFailure(f"cannot run {argv[0]}: {finished.last_line}")
    return finished


async def spawn(
    argv: Sequence[str],
    *,
    identity: Identity = ROOT,
    environment: Mapping[str, str] = BASE_ENVIRONMENT,
    cwd: Path | str = "/",
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """Starts a process in a session of its own, so that `kill_group` reaches all it starts. Raises SystemFailure."""
    observation = commands.begin(
        argv,
        identity=actual_name(identity),
        environment=environment,
        cwd=cwd,
        exec_argv=identity.wrap(argv),
        descriptors=pass_fds,
    )
    try:
        process = await _start(
            argv, identity, environment, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds
        )
    except BaseException as error:
        if observation is not None:
            observation.ended(commands.Outcome(problem=str(error) or type(error).__name__))
        raise
    if observation is not None:
        stream = process.stdout if stderr == asyncio.subprocess.STDOUT else process.stderr
        if stream is not None:
            commands.keep_lines(stream)
        errors = os.dup(stderr) if stderr is not None and stderr >= 0 else -1  # the caller may close its own at once
        task = asyncio.create_task(_report_end(process, observation, stream, errors))
        _reports.add(task)
        task.add_done_callback(_reports.discard)
    return process


async def _start(
    argv: Sequence[str],
    identity: Identity,
    environment: Environment,
    *,
    cwd: Path | str = "/",
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """`spawn`, unobserved."""
    try:
        return await asyncio.create_subprocess_exec(
            *identity.wrap(argv), env=dict(environment), cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr,
            pass_fds=tuple(pass_fds), start_new_session=True, umask=0o022,
        )  # fmt: skip
    except OSError as error:
        raise _cannot_run(argv, error) from error


_reports: set[asyncio.Task[None]] = set()  # the event loop itself keeps no task alive


async def _report_end(
    process: asyncio.subprocess.Process, observation: commands.Observation, stream: asyncio.StreamReader | None, errors: int
) -> None:
    """Waits for the end of an observed process. Its last lines are in the file `errors`, or are read from `stream` by others.

    Closes `errors` (-1: there is none).
    """
    outcome = commands.Outcome(observed=True)
    try:
        outcome.code = await process.wait()
        deadline = time.monotonic() + LAST_LINES_SECONDS
        while stream is not None and not stream.at_eof() and time.monotonic() < deadline:  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        outcome.code = process.returncode
        outcome.problem = "" if outcome.code is not None else "left running at the end of this process"
        raise
    finally:
        if errors >= 0:
            outcome.stderr = commands.last_lines_of(errors)
            os.close(errors)
        elif stream is not None:
            outcome.stderr = commands.kept_lines(stream)
        observation.ended(outcome)


def watch_children() -> None:
    """The end of a process is seen on a descriptor: before Python 3.12 a thread waits for each, and may not start."""
    if sys.version_info < (3, 12):
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


@contextlib.contextmanager
def opening_as(identity: Identity) -> Iterator[None]:
    """Within it this thread opens files and sockets as somebody else (setfsuid(2)), and root's rights over files are gone."""
    libc = ctypes.CDLL(None)
    libc.setfsgid(identity.uid)
    libc.setfsuid(identity.uid)
    try:
        yield
    finally:
        libc.setfsuid(os.geteuid())
        libc.setfsgid(os.getegid())


def socket_of(identity: Identity, kind: socket.SocketKind) -> socket.socket:
    """An IPv4 socket that the firewall counts as somebody's, made by root, which may then bind it to a low port.

    `meta skuid` is the fsuid of whoever opened the descriptor (net/netfilter/nft_meta.c: sk_socket->file->f_cred), whoever
    uses it later; changing the owner afterwards does not count.
    """
    with opening_as(identity):
        return socket.socket(socket.AF_INET, kind)


def kill_group(process: asyncio.subprocess.Process, number: int = 9) -> None:
    """Signals a spawned process and everything it started, if it has not ended."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return


def mount(kind: str, target: Path, *, source: str = "none", options: str = "") -> None:
    """mount(8). Raises SystemFailure with the kernel's reason."""
    flags = ["-o", options] if options else []
    done = run(["mount", "-t", kind, *flags, source, str(target)], check=False)
    if done.code != 0:
        raise SystemFailure(f"cannot mount {target}: {done.last_line}", MOUNT_HINT)


def bind(source: Path, target: Path) -> None:
    """Covers a file or folder by another one (mount --bind). Raises SystemFailure."""
    done = run(["mount", "--bind", str(source), str(target)], check=False)
    if done.code != 0:
        raise SystemFailure(f"cannot cover {target}: {done.last_line}", MOUNT_HINT)


def write(path: Path, text: str, *, mode: int = 0o644, uid: int = 0) -> None:
    """Writes a file under a temporary name and renames it: a reader sees the old text or the new one, never half.

    Raises SystemFailure; half a file takes no room then.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(file.fileno(), mode)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), uid, uid)
                file.write(text)
            new.rename(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SystemFailure(f"cannot write {path}: {error.strerror or error}") from error


def write_in_place(path: Path, text: str) -> None:
    """For what a container engine has bind-mounted (resolv.conf, hosts): renaming over a mount point fails with EBUSY."""
    with path.open("w") as file:
        file.write(text)
