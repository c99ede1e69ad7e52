"""The backend's only access to processes, mounts and ownership. Lint forbids `subprocess` in other modules.

Every command is an argument list with an explicit identity and environment: no shell, no inherited environment, no inherited
descriptors. If there is an observer (backend/commands.py), it gets a report of every command.

The functions that use asyncio import it: it takes 30 ms of processor time, and most processes call only the others.

Length: the only access belongs in one module.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend import commands
from backend.contract.immutable import dataclass
from backend.contract.paths import AGENT_UID, COREDNS_UID, EXPORTER_UID, GATE_UID, GUARD_UID, NOTIFIER_UID, READER_UID, Paths

if TYPE_CHECKING:
    import asyncio

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SETPRIV = shutil.which("setpriv", path=SYSTEM_PATH) or "/usr/bin/setpriv"
# The real git: the first `git` in a sandbox's PATH is our launcher, which runs root's git as the agent.
GIT = str(Paths().git) if Paths().git.exists() else shutil.which("git", path=SYSTEM_PATH) or "/usr/bin/git"
MAX_ERRORS = 64 << 10  # bytes of stderr to read
MAX_OUTPUT = 64 << 20  # bytes to read from a process that is not bounded otherwise
MAX_AGENT_OUTPUT = 1 << 20  # bytes that an agent process may write to stdout, and the same to stderr
PIPE_BYTES = 1 << 20  # of a pipe between two programs; the default of 64 KiB makes them wait for each other
PAGE = os.sysconf("SC_PAGE_SIZE")
LAST_LINES_SECONDS = 1.0  # how long the observer waits for a service's last lines after its end
Environment = Mapping[str, str]
# Boot requires CAP_SYS_ADMIN, so a refused mount means that the engine's security profile forbids it.
MOUNT_HINT = "Start the container with --security-opt apparmor=unconfined: Docker's AppArmor profile refuses mounts."
BASE_ENVIRONMENT: Environment = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"}


class SystemFailure(Exception):
    """A failed operation. The message reads "cannot X: reason"; `hint` is the remedy, one sentence, "" if there is none."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class TookTooLong(SystemFailure):
    """A program was killed because it did not end in time."""


def describe(error: OSError) -> str:
    """The text of an OSError without its number: "/dev/net/tun: No such file or directory"."""
    words = error.strerror or str(error)
    return f"{error.filename}: {words}" if error.filename else words


@dataclass(frozen=True, slots=True)
class Identity:
    """The uid of a process (its gid is the same number) and the capabilities that it keeps, for example ("net_admin",).

    Identities other than root have no supplementary groups, no-new-privs set, and a bounding set of exactly their capabilities.
    `through` is a program that confines the process further. It runs first, as root: other processes of the uid could take over
    one that already has the uid but is not yet confined (ptrace(2)).
    """

    name: str
    uid: int
    capabilities: tuple[str, ...] = ()
    through: tuple[str, ...] = ()

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The argument list that switches to this identity and then runs `argv` (setpriv(1)).

        The programs before `argv` run as root, but already with its environment. They have absolute paths, because the agent's
        PATH begins with a folder that it can write to.
        """
        if self.uid == 0:
            return list(argv)
        keep = ",".join(["-all", *(f"+{name}" for name in self.capabilities)])
        return [
            *self.through, SETPRIV, f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--no-new-privs",
            f"--bounding-set={keep}", f"--inh-caps={keep}", f"--ambient-caps={keep}", "--", *argv,
        ]  # fmt: skip


ROOT = Identity("root", 0)
AGENT = Identity("claude", AGENT_UID, through=(str(Paths().confine),))  # installs the system call filter: backend/confine/
COREDNS = Identity("coredns", COREDNS_UID, ("net_bind_service",))
GUARD = Identity("guard", GUARD_UID, ("net_admin",))
GATE = Identity("gate", GATE_UID)
EXPORTER = Identity("exporter", EXPORTER_UID)
READER = Identity("reader", READER_UID)
NOTIFIER = Identity("notifier", NOTIFIER_UID)


def name_of(uid: int) -> str:
    """The name of the identity with this uid, or "uid N"."""
    identities = (ROOT, AGENT, COREDNS, GUARD, GATE, EXPORTER, READER, NOTIFIER)
    return next((identity.name for identity in identities if identity.uid == uid), f"uid {uid}")


def actual_name(identity: Identity = ROOT) -> str:
    """The user that a command with this identity really runs as: ROOT means the user of this process, root or not."""
    return name_of(identity.uid or os.geteuid())


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that has ended: its exit code (negative: a signal) and its output."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The last line on stderr, else on stdout, which usually is the reason of a failure."""
        lines = [line for line in (self.err.strip() or self.out.strip()).splitlines() if "dmesg(1)" not in line]  # mount(8)
        return lines[-1] if lines else f"exit code {self.code}"

    def value(self) -> Any:
        """The output, parsed as JSON. Raises ValueError, also if it is nested too deeply."""
        try:
            return json.loads(self.out)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _cannot_run(argv: Sequence[str], error: OSError) -> SystemFailure:
    """The error for a command that could not start, which may be temporary: the agent can use up processes and memory."""
    if isinstance(error, FileNotFoundError):
        return SystemFailure(f"cannot run {argv[0]}: not found", "Run codetainer check to see what is missing.")
    return SystemFailure(f"cannot run {argv[0]}: {error.strerror or error}")


@contextlib.contextmanager
def _memory_files(argv: Sequence[str], count: int, most: int | None = None) -> Iterator[list[int]]:
    """In-memory files for the input and output of a process, closed after the block. Raises SystemFailure.

    With `most`, the kernel limits each file to that many bytes, rounded up to a page (fcntl(2), F_SEAL_GROW). Such a file has
    its full size from the start, and the seals also prevent truncating it.
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
    """The text in a memory file. One with a limit is filled up with zeros: reads only what was written.

    Moves the position in the file, which it shares with the process: that has ended.
    """
    if most is None:
        return os.pread(descriptor, MAX_OUTPUT, 0).decode(errors="replace")
    end = 0
    try:
        while True:
            end = os.lseek(descriptor, os.lseek(descriptor, end, os.SEEK_DATA), os.SEEK_HOLE)
    except OSError as error:  # ENXIO: no data after `end`
        end = end if error.errno == errno.ENXIO else most
    return os.pread(descriptor, min(end, most), 0).rstrip(b"\0").decode(errors="replace")


def run(
    argv: Sequence[str],
    *,
    identity: Identity = ROOT,
    environment: Mapping[str, str] = BASE_ENVIRONMENT,
    input: str | None = None,  # noqa: A002 (the name in subprocess)
    cwd: Path | str = "/",
    timeout: float = 30.0,
    check: bool = True,
) -> Finished:
    """Runs a command to its end. Raises SystemFailure if it cannot start, exceeds `timeout` (s), or, with `check`, fails.

    Its output goes to memory files, of at most MAX_AGENT_OUTPUT each if the agent runs it (see `run_async`).
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


@dataclass(frozen=True, slots=True)
class Answered:
    """A process that has ended, with its output in bytes. `whole` is false if it was killed for exceeding the limit."""

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
    """Runs a program as this process's own user and reads at most `most` bytes of output (none if it goes to `stdout`).

    Input and stderr are memory files, so the program cannot block on a full pipe. Raises SystemFailure if it cannot start or
    exceeds `timeout` (s).
    """
    with (
        commands.observed(argv, identity=actual_name(), environment=environment, cwd=cwd, stdin=input) as outcome,
        _memory_files(argv, 2) as (stdin, errors),
    ):
        os.write(stdin, input)
        os.lseek(stdin, 0, os.SEEK_SET)
        try:
            process = subprocess.Popen(
                argv, env=dict(environment), cwd=cwd, stdin=stdin, stdout=subprocess.PIPE if stdout is None else stdout,
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
    """Runs a program as this process's own user and writes `pieces` to its stdin. Discards its stdout.

    Stops writing if the program stops reading; the exit code then shows why. Raises SystemFailure like `ask`.
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
    """Kills a process that exceeds `timeout` (s), and then raises SystemFailure. Any exception in the block kills it, too."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout, end)
    timer.start()
    try:
        yield
    except BaseException:  # ctrl+c reaches this process, but not a child in a session of its own
        process.kill()
        process.wait()
        raise
    finally:
        timer.cancel()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unwritten data has no reader any more
                    pipe.close()
    if late.is_set():
        name = Path(str(process.args[0] if isinstance(process.args, list) else process.args)).name
        raise TookTooLong(f"cannot wait for {name}: not done within {timeout:.3g} s")


@contextlib.contextmanager
def _last_lines(outcome: commands.Outcome, errors: int) -> Iterator[None]:
    """Stores the end of the stderr file in the outcome, even if the block raises."""
    try:
        yield
    finally:
        if outcome.observed:
            outcome.stderr = commands.last_lines_of(errors)


def _end_of(errors: int) -> str:
    """The last MAX_ERRORS bytes of a program's stderr file."""
    return os.pread(errors, MAX_ERRORS, max(0, os.fstat(errors).st_size - MAX_ERRORS)).decode(errors="replace")


async def run_distrusted(
    argv: Sequence[str], *, what: str, identity: Identity, environment: Environment, seconds: float, most: int
) -> Finished:
    """Runs a process that other processes of its uid may manipulate, and relays its observer's lines to ours.

    Its output goes to memory files of at most `most` bytes each, which are read after its end; writes beyond that fail. (A pipe
    would stay open while any process holds it.) Raises SystemFailure if the process cannot start or does not end within
    `seconds`; `what` describes it in the message.
    """
    import asyncio

    name = actual_name(identity)
    with (
        commands.observed(argv, identity=name, environment=environment, cwd="/", exec_argv=identity.wrap(argv)) as outcome,
        _memory_files(argv, 2, most) as (output, errors),
    ):
        process = await _start(argv, identity, environment, stdout=output, stderr=errors)
        try:
            code = await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError as error:
            raise SystemFailure(f"cannot wait for {what}: not done within {seconds:.3g} s") from error
        finally:
            kill_group(process)
            own = [line for line in _written(errors, most).splitlines() if not commands.relayed(line, name)]
            outcome.stderr = "\n".join(own)
        outcome.code = code
        out = _written(output, most)
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
    """The asynchronous form of `run`. Cancelling it kills the process group.

    Input and output are memory files: a pipe would stay open while any process holds it, and other processes of the agent's uid
    can make one of them write endlessly. `most` limits each output file (bytes; MAX_AGENT_OUTPUT for the agent's processes).
    Without a limit, MAX_OUTPUT bytes are read.
    """
    import asyncio

    if most is None and identity.uid == AGENT_UID:
        most = MAX_AGENT_OUTPUT
    with (
        commands.observed(
            argv, identity=actual_name(identity), environment=environment, cwd=cwd, exec_argv=identity.wrap(argv), stdin=input
        ) as outcome,
        _memory_files(argv, 1) as (stdin,),
        _memory_files(argv, 2, most) as (out, err),
        _last_lines(outcome, err),
    ):
        if input is not None:
            os.pwrite(stdin, input.encode(), 0)
        process = await _start(
            argv, identity, environment, cwd=cwd, stdin=subprocess.DEVNULL if input is None else stdin, stdout=out,
            stderr=err,
        )  # fmt: skip
        try:
            code = await asyncio.wait_for(process.wait(), timeout)
        except TimeoutError as error:
            raise SystemFailure(f"cannot wait for {argv[0]}: not done within {timeout:g} s") from error
        finally:
            kill_group(process)
        outcome.code = code
        output, errors = _written(out, most), _written(err, most)
    finished = Finished(tuple(argv), code, output, errors)
    if check and finished.code != 0:
        raise SystemFailure(f"cannot run {argv[0]}: {finished.last_line}")
    return finished


async def spawn(
    argv: Sequence[str],
    *,
    identity: Identity = ROOT,
    environment: Mapping[str, str] = BASE_ENVIRONMENT,
    cwd: Path | str = "/",
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """Starts a process in a session of its own, so that `kill_group` reaches its children. Raises SystemFailure."""
    import asyncio

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
        stream = process.stdout if stderr == subprocess.STDOUT else process.stderr
        if stream is not None:
            commands.keep_lines(stream)
        errors = os.dup(stderr) if stderr is not None and stderr >= 0 else -1  # the caller may close its copy at once
        task = asyncio.create_task(_report_end(process, observation, stream, errors))
        _reports.add(task)
        task.add_done_callback(_reports.discard)
    return process


def pipe() -> tuple[int, int]:
    """A pipe with room for PIPE_BYTES, if the kernel grants this process so much (fcntl(2), F_SETPIPE_SZ)."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


class Pipeline:
    """Programs that run as one identity, each of which reads what the one before it writes. Made by `pipeline`."""

    def __init__(self, argvs: Sequence[Sequence[str]], errors: list[int]) -> None:
        self._argvs, self._errors = tuple(map(tuple, argvs)), errors
        self._processes: list[asyncio.subprocess.Process] = []

    async def wait(self) -> list[Finished]:
        """Waits until all programs have ended. Their stdout is not in the result."""
        codes = [await process.wait() for process in self._processes]
        ended = zip(self._argvs, codes, self._errors, strict=True)
        return [Finished(argv, code, "", _written(errors, MAX_AGENT_OUTPUT)) for argv, code, errors in ended]

    def kill(self) -> None:
        for process in self._processes:
            kill_group(process)


@contextlib.asynccontextmanager
async def pipeline(
    argvs: Sequence[Sequence[str]], *, identity: Identity, environment: Environment, stdin: int, stdout: int, cwd: Path | str
) -> AsyncIterator[Pipeline]:
    """Runs a pipeline, and kills what is left of it after the block. Closes both descriptors here when the programs have them.

    Each program's stderr goes to a memory file of MAX_AGENT_OUTPUT bytes. Raises SystemFailure if one cannot start.
    """
    opened = {stdin, stdout} - {subprocess.DEVNULL}
    with contextlib.ExitStack() as stack, _memory_files(argvs[0], len(argvs), MAX_AGENT_OUTPUT) as errors:
        running = Pipeline(argvs, errors)
        stack.callback(running.kill)
        try:
            source = stdin
            for number, argv in enumerate(argvs):
                following, target = pipe() if number < len(argvs) - 1 else (-1, stdout)
                opened |= {following, target} - {-1}
                process = await spawn(
                    argv, identity=identity, environment=environment, cwd=cwd, stdin=source, stdout=target,
                    stderr=errors[number],
                )  # fmt: skip
                running._processes.append(process)
                source = following
        finally:
            for descriptor in opened:
                os.close(descriptor)
        yield running


async def _start(
    argv: Sequence[str],
    identity: Identity,
    environment: Environment,
    *,
    cwd: Path | str = "/",
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """`spawn` without an observer."""
    import asyncio

    try:
        return await asyncio.create_subprocess_exec(
            *identity.wrap(argv), env=dict(environment), cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr,
            pass_fds=tuple(pass_fds), start_new_session=True, umask=0o022,
        )  # fmt: skip
    except OSError as error:
        raise _cannot_run(argv, error) from error


_reports: set[asyncio.Task[None]] = set()  # the event loop holds only weak references to tasks


async def _report_end(
    process: asyncio.subprocess.Process, observation: commands.Observation, stream: asyncio.StreamReader | None, errors: int
) -> None:
    """Waits for the end of an observed process and reports it with its last lines.

    These are in the file `errors` (-1: none; closes it), or in `stream`, which the caller of `spawn` reads.
    """
    import asyncio

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
    """Makes asyncio watch children by pidfd. Before Python 3.12 asyncio starts a thread for each child, which may fail."""
    if sys.version_info < (3, 12):
        import asyncio

        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


@contextlib.contextmanager
def opening_as(identity: Identity) -> Iterator[None]:
    """Makes this thread open files and sockets as another user, without root's rights over files (setfsuid(2))."""
    libc = ctypes.CDLL(None)
    libc.setfsgid(identity.uid)
    libc.setfsuid(identity.uid)
    try:
        yield
    finally:
        libc.setfsuid(os.geteuid())
        libc.setfsgid(os.getegid())


def socket_of(identity: Identity, kind: socket.SocketKind) -> socket.socket:
    """An IPv4 socket that the firewall attributes to this identity, although root creates it and may bind it to a low port.

    `meta skuid` is the fsuid that opened the descriptor (net/netfilter/nft_meta.c: sk_socket->file->f_cred). Passing the
    descriptor on or changing its owner does not change that.
    """
    with opening_as(identity):
        return socket.socket(socket.AF_INET, kind)


def kill_group(process: asyncio.subprocess.Process, number: int = 9) -> None:
    """Sends a signal to a spawned process and its children, if the process has not ended."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return


def mount(kind: str, target: Path, *, source: str = "none", options: str = "") -> None:
    """Mounts a file system (mount(8)). Raises SystemFailure with the kernel's reason."""
    flags = ["-o", options] if options else []
    done = run(["mount", "-t", kind, *flags, source, str(target)], check=False)
    if done.code != 0:
        raise SystemFailure(f"cannot mount {target}: {done.last_line}", MOUNT_HINT)


def bind(source: Path, target: Path) -> None:
    """Mounts a file or folder over another one (mount --bind). Raises SystemFailure."""
    done = run(["mount", "--bind", str(source), str(target)], check=False)
    if done.code != 0:
        raise SystemFailure(f"cannot mount {source} over {target}: {done.last_line}", MOUNT_HINT)


def write(path: Path, text: str, *, mode: int = 0o644, uid: int = 0) -> None:
    """Writes a file under a temporary name and renames it, so that readers never see a partial text.

    Raises SystemFailure and removes the temporary file if it cannot be written.
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
    """Overwrites a file that the container engine has bind-mounted (resolv.conf, hosts): renaming onto it fails with EBUSY."""
    with path.open("w") as file:
        file.write(text)
