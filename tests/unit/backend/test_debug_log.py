"""The debug log: content, permissions, size, and the record of a failing command."""

from __future__ import annotations

import os
import re
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.commands import PREFIX, Command, Outcome, observe, observed
from backend.contract import shell
from backend.contract.paths import Paths
from backend.debug_log import MAX_LINE, MAX_STDIN, DebugLines, DebugLog, Formatter, clock, printable, quoted
from backend.redaction import Redaction
from backend.settings import load
from backend.supervision import start
from backend.system import SystemFailure

TOKEN = "ghp_planted-token"
REDACTION = Redaction([("GH_PAT", TOKEN)])
AT = 1796169600.0


def command(*argv: str, stdin: bytes | None = None, descriptors: tuple[int, ...] = (), **environment: str) -> Command:
    whole = ("/opt/codetainer/confine", "/usr/bin/setpriv", "--reuid=1000", "--", *argv)
    return Command(argv, whole, "claude", environment, "/workspace", stdin, descriptors, AT)


def ended(one: Command, outcome: Outcome) -> list[str]:
    return Formatter(REDACTION).ended(one, outcome, 0.25)


def test_a_command_that_succeeds() -> None:
    formatter, one = Formatter(REDACTION), command("git", "commit", "-m", "two words")
    (first,) = formatter.started(one)
    (last,) = formatter.ended(one, Outcome(code=0, stderr="a warning"), 0.25)
    assert first == f"2026-12-02T00:00:00.000Z {os.getpid()}#1 claude started: git commit -m 'two words'"
    assert last == (
        f"2026-12-02T00:00:00.250Z {os.getpid()}#1 claude exit 0, started 2026-12-02T00:00:00.000Z, took 0.250 s: "
        "git commit -m 'two words'"
    )


def test_a_command_that_fails_is_ready_to_paste() -> None:
    one = command("git", "clone", "it's", stdin=b"100%\n", descriptors=(5, 6), HOME="/home/claude", T="a b")
    head, paste, *rest = ended(one, Outcome(code=128, stderr="Cloning\nfatal: not written\n"))
    assert "exit 128" in head
    assert paste == (
        "  cd /workspace && printf '100%%\\012' | env -i HOME=/home/claude T='a b' /opt/codetainer/confine /usr/bin/setpriv "
        "--reuid=1000 -- git clone 'it'\"'\"'s'"
    )
    assert rest == ["  inherits descriptors: 5 6", "  stderr: Cloning", "  stderr: fatal: not written"]


def test_a_command_that_did_not_end() -> None:
    head, problem, paste = ended(command("sleep", "9"), Outcome(problem="not done within 1 s"))
    assert " no exit code, " in head
    assert problem == "  problem: not done within 1 s"
    assert paste.endswith("-- sleep 9")


def test_a_long_input_is_not_shown() -> None:
    lines = ended(command("cat", stdin=b"x" * (MAX_STDIN + 1)), Outcome(code=1))
    assert f"  stdin: {MAX_STDIN + 1} bytes, not shown" in lines
    assert not any("printf" in line for line in lines)


def test_no_secret_in_any_part() -> None:
    one = command(f"https://x:{TOKEN}@host", stdin=f"Bearer {TOKEN}".encode(), GH_TOKEN=TOKEN)
    outcome = Outcome(code=1, stderr=f"{'x' * (MAX_LINE - 5)}{TOKEN}\nfatal: {TOKEN}", problem=f"cannot use {TOKEN}")
    formatter = Formatter(REDACTION)
    lines = [*formatter.started(one), *formatter.ended(one, outcome, 1.0), formatter.relayed(f"a {TOKEN}", "guard")]
    text = "\n".join(lines)
    assert "ghp_" not in text, "a line is cut after its secrets are out"
    assert text.count("<GH_PAT>") == 8
    assert "GH_TOKEN='<GH_PAT>'" in text


def test_terminal_control_characters_are_escaped() -> None:
    outcome = Outcome(code=1, stderr="\x1b[2J\u202e", problem="\x1b[31m")
    lines = ended(command("a\nb\x1b", stdin=b"\x00\x1b\xff", X="\x7f"), outcome)
    assert all(line.isprintable() for line in lines)
    assert "$'a\\012b\\033'" in lines[0]
    assert "printf '\\000\\033\\377' | env -i X=$'\\177'" in lines[2]
    assert Formatter(REDACTION).relayed("\x1b[2J", "claude") == "claude| \\x1b[2J"


@given(st.text(st.characters(codec=None)))
def test_every_text_becomes_one_printable_line(text: str) -> None:
    for line in (quoted(text), shell.printf(text), printable(text)):
        assert line.isprintable()


def test_the_clock() -> None:
    assert (clock(0.0), clock(1.9996)) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:02.000Z")


# --- the file ---


def test_only_root_can_read_the_file(tmp_path: Path) -> None:
    file = tmp_path / "debug.log"
    file.touch(mode=0o644)  # left by an earlier boot
    umask = os.umask(0)
    try:
        log = DebugLog(REDACTION, segment_bytes=2000)
        log.open(file)
        log.started(command("true"))
        assert file.stat().st_mode & 0o777 == 0o600
        for _ in range(100):
            log.started(command("true"))
    finally:
        os.umask(umask)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["debug.log", "debug.log.1"]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600, 0o600]
    assert all(0 < path.stat().st_size <= 2000 for path in files)


def test_records_from_before_the_file_are_in_it(tmp_path: Path) -> None:
    log = DebugLog(REDACTION)
    log.started(command("mount", TOKEN))
    log.relay("a line", "guard")
    assert len(log.early) == 2
    log.open(tmp_path / "debug.log")
    log.started(command("true"))
    log.close()
    lines = (tmp_path / "debug.log").read_text().splitlines()
    assert [re.sub(r"^\S+ \d+#\d+ ", "", line) for line in lines] == [
        "claude started: mount '<GH_PAT>'", "guard| a line", "claude started: true",
    ]  # fmt: skip
    assert log.early == []


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "debug.log").symlink_to(tmp_path / "elsewhere")
    log = DebugLog(REDACTION)
    log.open(tmp_path / "debug.log")
    log.started(command("true"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_file_system_loses_records_and_counts_them(tmp_path: Path) -> None:
    log = DebugLog(REDACTION)
    log.open(tmp_path / "debug.log")
    log.started(command("first"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "debug.log").stat().st_size, limits[1]))
    try:
        log.started(command("lost"))
        log.started(command("lost"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    log.started(command("last"))
    log.close()
    lines = (tmp_path / "debug.log").read_text().splitlines()
    assert [line.partition(" ")[2].rpartition(": ")[2] for line in lines] == [
        "first", "the log could not be written", "last",
    ]  # fmt: skip
    assert " 2 records were lost" in lines[1]


# --- lines on a descriptor ---


def test_writtenhave_the_prefix_and_a_limit() -> None:
    file = os.memfd_create("lines")
    lines = DebugLines(REDACTION, file, 400)
    for number in range(20):
        lines.started(command(f"number-{number}", TOKEN))
    written = os.pread(file, 10_000, 0).decode().splitlines()
    os.close(file)
    assert all(line.startswith(PREFIX) for line in written)
    assert written[-1] == f"{PREFIX}further commands are not shown"
    assert len(written) < 10
    lines.relay("to a descriptor that is closed", "guard")  # must not raise


# --- at boot ---


GOOD = {"GH_PAT": TOKEN, "CLAUDE_CODE_OAUTH_TOKEN": "sk-planted"}


def test_boot_logs_from_its_first_command(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    try:
        with start.observed_from_here(load({**GOOD, "CODETAINER_DEBUG": "on"}), paths):
            with observed(["mount", TOKEN], identity="root", environment={}, cwd="/") as outcome:
                outcome.code = 0
            paths.run.mkdir(parents=True)
    finally:
        observe(None)
    text = paths.debug_log.read_text()
    assert "root started: mount '<GH_PAT>'" in text and "root exit 0" in text


def test_without_a_folder_the_log_goes_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        with (
            pytest.raises(SystemFailure),
            start.observed_from_here(load({**GOOD, "CODETAINER_DEBUG": "on"}), Paths(tmp_path)),
            observed(["mount", TOKEN], identity="root", environment={}, cwd="/") as outcome,
        ):
            outcome.code = 32
            raise SystemFailure("cannot mount")
    finally:
        observe(None)
    output = capfd.readouterr().err
    assert output.startswith(f"{PREFIX}") and "cd / && env -i mount '<GH_PAT>'" in output
    assert TOKEN not in output


def test_boot_observes_nothing_by_default(tmp_path: Path) -> None:
    with start.observed_from_here(load(GOOD), Paths(tmp_path)), observed(["x"], identity="", environment={}, cwd="") as outcome:
        assert not outcome.observed
    assert list(tmp_path.iterdir()) == []
