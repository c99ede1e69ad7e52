"""Boots the image as an operator does: with a read-only root, with missing capabilities and settings, and with logins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from backend.capabilities import AUDIT_WRITE, NEEDED, Capability
from backend.contract.events import LockReleased, SshOpened
from tests.image import container, engine
from tests.netns.sandbox import LISTED, PATIENCE, backend_of, eventually, stopped_in_boot
from tests.netns.test_login import DETACH
from tests.netns.test_ssh import ANSWERS
from tests.netns.test_up_terminal import at

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("image")]

SESSION = "bypass"  # one word from the bottom of Claude Code's pane: tmux moves the cursor between words
# Like Docker's --read-only: by default podman mounts a tmpfs on /run and /tmp.
READ_ONLY = ("--read-only", "--read-only-tmpfs=false", "--security-opt", "no-new-privileges")
WELL = "\n".join(name for name in LISTED.split() if name not in ("private.test", "metadata.test"))
RIGHTS = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"


def test_it_boots_with_a_root_that_was_never_writable(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 203.0.113.53\n")
    resolver = f"--volume={tmp_path / 'resolv.conf'}:/etc/resolv.conf:ro"  # as Docker mounts it if the root is read-only
    sandbox = container.start(
        tmp_path, f"readonly-{os.getpid()}", listed=WELL, engine_options=(*engine.LEAST, *READ_ONLY, resolver)
    )
    try:
        assert sandbox.state.boot == "ready", (tmp_path / "out").read_text()
        assert sandbox.agent("git", "-C", "/workspace/repo", "fetch").returncode == 0
        assert "HoldsTheRealOneOutside" in sandbox.agent("cat", "/opt/gh-config/git-credential").stdout
        # The image's own health check.
        health = subprocess.run([*engine.PODMAN, "healthcheck", "run", sandbox.name], capture_output=True, text=True)
        assert health.returncode == 0, health.stdout + health.stderr
    finally:
        assert sandbox.stop() == 0


def test_the_log_has_the_format_that_a_mounted_file_names(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("json\n")
    mounted = f"--volume={tmp_path / 'format'}:/run/secrets/format:ro"
    sandbox = container.start(
        tmp_path,
        f"format-{os.getpid()}",
        engine_options=(*engine.LEAST, mounted),
        CODETAINER_LOG_FORMAT_FILE="/run/secrets/format",
    )
    try:
        lines = (tmp_path / "out").read_text().splitlines()
        assert json.loads(lines[0])["kind"] == "boot.started"
    finally:
        sandbox.stop()


def test_the_agent_has_none_of_what_boot_was_given(tmp_path: Path) -> None:
    sandbox = container.start(tmp_path, f"rights-{os.getpid()}")
    try:
        capabilities = sum(1 << capability.number for capability in NEEDED)
        boot = Path(f"/proc/{backend_of(sandbox)}/status").read_text()
        assert f"CapEff:\t{capabilities:016x}" in boot
        for line in sandbox.agent("sh", "-c", RIGHTS).stdout.splitlines():
            name, value = line.split(":\t")
            assert value == {"NoNewPrivs": "1", "Seccomp": "2"}.get(name, f"{0:016x}"), line
    finally:
        sandbox.stop()


@pytest.mark.parametrize("capability", NEEDED, ids=lambda capability: capability.name)
def test_a_capability_that_is_missing_is_named_with_the_flag_that_gives_it(capability: Capability) -> None:
    kept = [word for other in NEEDED if other is not capability for word in ("--cap-add", other.name)]
    command = [*engine.PODMAN, "run", "--rm", "--pull=never", "--network=none", *engine.limits(), "--cap-drop=ALL", *kept,
               "--env=GH_PAT=x", "--env=CLAUDE_CODE_OAUTH_TOKEN=x", engine.IMAGE]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"CAP_{capability.name}: {capability.purpose}" in done.stderr
    assert f"--cap-add {capability.name}.\n" in done.stderr


def test_settings_that_are_missing_end_it_with_their_names() -> None:
    command = [*engine.PODMAN, "run", "--rm", "--pull=never", "--network=none", *engine.limits(), *engine.LEAST, engine.IMAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert "GH_PAT" in done.stderr and "CLAUDE_CODE_OAUTH_TOKEN" in done.stderr


def test_a_login_during_boot_sees_the_dashboard_and_is_handed_over(tmp_path: Path) -> None:
    sandbox, boot = stopped_in_boot(lambda: container.start(tmp_path, f"login-{os.getpid()}", until_released=False))
    try:
        login = [*engine.PODMAN, "exec", "-it", "--env", "TERM=xterm-256color", sandbox.name, "attach-claude"]
        with at(program=login, answers=ANSWERS) as terminal:
            terminal.expect("BOOTING")
            os.kill(boot, signal.SIGCONT)
            terminal.expect(SESSION)
            terminal.type(DETACH)
            assert terminal.code() == 0
        with at(program=login, answers=ANSWERS) as terminal:
            terminal.expect(SESSION)
            terminal.type(DETACH)
            assert terminal.code() == 0
    finally:
        sandbox.stop()


def test_a_login_over_ssh(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    sandbox = container.start(
        tmp_path, f"ssh-{os.getpid()}", engine_options=(*engine.LEAST, "--cap-add", AUDIT_WRITE.name, *READ_ONLY),
        CODETAINER_SSH_KEYS=Path(f"{key}.pub").read_text(),
    )  # fmt: skip
    try:
        eventually("sshd listens", lambda: sandbox.events(SshOpened))
        known = tmp_path / "known_hosts"
        known.write_text(sandbox.codetainer("ssh-config", "--known-hosts").stdout)
        before, address = sandbox.internet.way_in
        ssh = [
            *before, "ssh", "-F", "none", "-i", str(key), "-o", f"UserKnownHostsFile={known}", "-o", "LogLevel=ERROR",
            "-o", f"HostKeyAlias={known.read_text().split()[0]}", "-o", "BatchMode=yes",
        ]  # fmt: skip
        there = f"root@{address}"
        done = subprocess.run([*ssh, there, "exit 7"], capture_output=True, text=True, timeout=PATIENCE)
        assert (done.returncode, done.stdout, done.stderr) == (7, "", "")
        with at("-t", there, program=ssh, answers=ANSWERS) as terminal:
            terminal.expect(SESSION)
            terminal.type(DETACH)
            assert terminal.code() == 0
    finally:
        sandbox.stop()


def test_it_stops_when_it_is_asked_to_and_leaves_nothing(tmp_path: Path) -> None:
    sandbox = container.start(tmp_path, f"stop-{os.getpid()}")
    assert sandbox.events(LockReleased)[-1].session
    assert sandbox.stop() == 0
    assert sandbox.name not in engine.podman("ps", "--all", "--format", "{{.Names}}").split()
