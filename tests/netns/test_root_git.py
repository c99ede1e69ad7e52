"""Root's git in the agent's repository: every program that the repository names runs as the agent, never as root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.system import ROOT
from tests.netns.sandbox import CODETAINER, PATIENCE, Running, start
from tests.netns.work import shell

pytestmark = pytest.mark.netns

REPO = "/workspace/theirs"
# One script for every program that a repository can name. It records its uid, environment and descriptors.
EVIL = r"""#!/bin/sh
id -u >> /workspace/uids
env >> /workspace/environment
{ tty; readlink /proc/$$/fd/*; } >> /workspace/descriptors 2>&1
[ ! -e /workspace/stays ] || { sleep 1000 & }
case ${0##*/} in pager) cat ;; esac
"""
HOSTILE = """
set -e
git init -q theirs; cd theirs
git config user.name A; git config user.email a@example.com
echo a > a; echo '* filter=evil diff=evil' > .gitattributes; git add .; git commit -qm a; echo b >> a
mkdir ../hooks
for hook in pre-commit post-commit post-checkout post-index-change reference-transaction; do cp ../evil ../hooks/$hook; done
git config core.hooksPath /workspace/hooks; git config core.fsmonitor /workspace/evil
cp ../evil ../pager; git config core.pager /workspace/pager; git config core.editor /workspace/evil
git config core.sshCommand /workspace/evil; git config core.askPass /workspace/evil
git config alias.st '!/workspace/evil'; git config diff.external /workspace/evil; git config gpg.program /workspace/evil
git config filter.evil.clean '/workspace/evil; cat'; git config filter.evil.smudge '/workspace/evil; cat'
git config credential.helper '!/workspace/evil'
"""
# Commands for root's shell with which git runs one of these programs.
WAYS = {
    "in it": "cd /workspace/theirs && git status",
    "-C": "git -C /workspace/theirs status",
    "--git-dir": "git --git-dir=/workspace/theirs/.git --work-tree=/workspace/theirs status",
    "GIT_DIR": "GIT_DIR=/workspace/theirs/.git GIT_WORK_TREE=/workspace/theirs git status",
    "by a link": "ln -sfn /workspace/theirs /run/link && cd /run/link && git status",
    "below it": "cd /workspace/theirs && mkdir -p below && cd below && git status",
    "in its git folder": "cd /workspace/theirs/.git && git --work-tree=.. status",
    "a pager": "cd /workspace/theirs && script -qec 'git -p log' /dev/null",
    "an alias": "cd /workspace/theirs && git st",
    "a commit": "cd /workspace/theirs && git commit --allow-empty -m root",
    "a diff": "cd /workspace/theirs && git diff --ext-diff",
    "a checkout": "cd /workspace/theirs && git switch -C other",
    "by another program": "cd /workspace/theirs && env git status && /bin/bash -c 'git status'",
    "marked as safe": "git -c safe.directory='*' -C /workspace/theirs status",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox whose root trusts every repository, as git suggests, with a hostile repository of the agent."""
    running = start(tmp_path_factory.mktemp("root-git"), f"root-git-{os.getpid()}")
    running.python("import json, sys; open('/workspace/evil', 'w').write(sys.argv[1]); print(json.dumps(1))", EVIL)
    shell(running, f"chmod +x evil; {HOSTILE}", "/workspace")
    trust(running)
    yield running
    running.stop()


def trust(sandbox: Running) -> None:
    """Lets root trust every repository. Root's home is read-only, so it gets another one."""
    script = r"mountpoint -q ~ || mount -t tmpfs none ~; printf '[safe]\n\tdirectory = *\n' > ~/.gitconfig"
    done = root(sandbox, script)
    assert done.returncode == 0, done.stderr


def root(sandbox: Running, script: str) -> subprocess.CompletedProcess[str]:
    return sandbox.root("sh", "-c", script)


def recorded(sandbox: Running, name: str) -> list[str]:
    """Returns what the script recorded since the last call."""
    done = sandbox.root("sh", "-c", f"cat /workspace/{name}; rm -f /workspace/{name}")
    return done.stdout.splitlines()


@pytest.mark.parametrize("way", WAYS)
def test_no_program_of_the_agent_runs_as_root(hostile: Running, way: str) -> None:
    recorded(hostile, "uids")
    done = root(hostile, WAYS[way])
    assert set(recorded(hostile, "uids")) == {"1000"}, done.stderr


def needs(sandbox: Running, program: str) -> None:
    if sandbox.agent("test", "-e", f"/usr/bin/{program}").returncode:
        assert os.environ.get("CI") != "true", f"{program} is not installed"
        pytest.skip(f"{program} is not installed")


def test_git_lfs_runs_as_the_agent(hostile: Running) -> None:
    """It runs core.sshCommand by itself, as whoever started it, and does not ask whether root trusts the repository."""
    needs(hostile, "git-lfs")
    root(hostile, "rm ~/.gitconfig")
    shell(hostile, "git config lfs.url ssh://far.test/far", REPO)
    for command, uid in (("git-lfs", "1000"), ("git lfs", "1000"), ("/usr/bin/git-lfs", "0")):
        recorded(hostile, "uids")
        done = root(hostile, f"cd {REPO} && {command} locks")
        uids = recorded(hostile, "uids")
        assert "1000" in uids, done.stderr  # of the git that git-lfs runs
        assert ("0" in uids) is (uid == "0")
    trust(hostile)
    root(hostile, "rm -f /workspace/environment /workspace/descriptors")  # these now belong to root


@pytest.mark.parametrize(
    ("program", "arguments"), [("scalar", "run config"), ("git-shell", "-c \"git-upload-pack '/run/own'\" </dev/null")]
)
def test_other_front_ends_of_git_run_as_the_agent(hostile: Running, program: str, arguments: str) -> None:
    """They cannot read a repository that only root can."""
    needs(hostile, program)
    root(hostile, "mkdir -m 700 /run/own && /usr/bin/git init --quiet /run/own")
    own = root(hostile, f"cd /run/own && /usr/bin/{program} {arguments}")
    as_agent = root(hostile, f"cd /run/own && {program} {arguments}")
    assert as_agent.returncode != 0
    assert as_agent.stderr != own.stderr
    theirs = root(hostile, f"cd {REPO} && {program} {arguments.replace('/run/own', REPO)}")
    assert theirs.stderr != as_agent.stderr


def test_a_git_link_of_root_does_not_run_programs_as_root(hostile: Running) -> None:
    """Root's .git file names the agent's git folder: git runs as the agent, refuses it, and its advice changes only ~claude."""
    recorded(hostile, "uids")
    leads = "mkdir -p /run/led && echo 'gitdir: /workspace/theirs/.git' > /run/led/.git && cd /run/led"
    root(hostile, f"{leads} && git status; git config --global --add safe.directory /run/led; git status")
    assert "0" not in recorded(hostile, "uids")
    assert "/run/led" in hostile.agent("cat", "/home/claude/.gitconfig").stdout


def test_git_itself_would_run_it_as_root(hostile: Running) -> None:
    """Shows that the repository is really hostile. git's full path bypasses the launcher."""
    recorded(hostile, "uids")
    root(hostile, f"/usr/bin/git -C {REPO} status")
    assert "0" in recorded(hostile, "uids")
    root(hostile, "rm -f /workspace/environment /workspace/descriptors")  # these now belong to root


def test_the_launcher_is_transparent(hostile: Running) -> None:
    """Output, exit code, stdin and arguments are those of git."""
    done = root(hostile, f"cd {REPO} && git rev-parse --show-toplevel && printf x | git hash-object --stdin")
    assert done.stdout == f"{REPO}\nc1b0730e0133447badcfd47fd144e254807b06e1\n"
    failed = root(hostile, f"git -C {REPO} rev-parse --verify no-such-ref")
    assert (failed.returncode, failed.stdout, "fatal: " in failed.stderr) == (128, "", True)
    odd = "a b\n$(id)'\"\\x"
    assert hostile.root("git", "-C", REPO, "-c", f"x.y={odd}", "config", "--get", "x.y").stdout == f"{odd}\n"
    loop = root(hostile, f"printf '1\\n2\\n3\\n' | while read -r n; do git -C {REPO} rev-parse --is-bare-repository; done")
    assert loop.stdout == "false\n" * 3, "git must not read a loop's list"
    piped = root(hostile, f"git -C {REPO} cat-file --batch-all-objects --batch | head -c 3 | wc -c; git --version")
    assert piped.stdout.splitlines()[0] == "3"
    assert piped.stderr == ""


def test_clone_and_push_over_ssh_run_nothing_as_root(hostile: Running, tmp_path: Path) -> None:
    """For `git clone root@HOST:/workspace/...` the sandbox's sshd starts these programs as root."""
    shell(
        hostile,
        "git config receive.denyCurrentBranch ignore; cp ../evil ../hooks/post-receive; cp ../evil ../hooks/update",
        REPO,
    )
    recorded(hostile, "uids")
    there = f"ext::{' '.join(hostile.command(ROOT, '%S', REPO))}"
    git = ["git", "-c", "protocol.ext.allow=always", "-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "clone", "--quiet", there, tmp_path / "clone"], check=True, timeout=60)
    subprocess.run([*git, "-C", tmp_path / "clone", "commit", "--quiet", "--allow-empty", "-m", "x"], check=True, timeout=60)
    assert recorded(hostile, "uids") == []
    subprocess.run([*git, "-C", tmp_path / "clone", "push", "--quiet", there, "HEAD:pushed"], check=True, timeout=60)
    assert set(recorded(hostile, "uids")) == {"1000"}


def test_root_is_not_advised_to_trust_it(hostile: Running) -> None:
    root(hostile, "rm ~/.gitconfig")
    try:
        done = root(hostile, f"git -C {REPO} status --porcelain")
        assert (done.returncode, "safe.directory" in done.stderr) == (0, False)
        assert "safe.directory" in root(hostile, f"/usr/bin/git -C {REPO} status").stderr
    finally:
        trust(hostile)


def test_the_agent_does_not_get_roots_environment(hostile: Running) -> None:
    """It may contain the tokens."""
    recorded(hostile, "environment")
    secret = "GH_PAT=of-root GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=http.extraHeader GIT_CONFIG_VALUE_0=of-root"
    root(hostile, f"{secret} git -C {REPO} status")
    environment = recorded(hostile, "environment")
    assert "HOME=/home/claude" in environment
    assert [line for line in environment if "of-root" in line] == []


def test_the_agent_gets_neither_roots_terminal_nor_roots_pipes(hostile: Running) -> None:
    """A process that holds them could read what root types next, or block the pipe's reader."""
    recorded(hostile, "descriptors")
    done = root(hostile, f"script -qec 'tty; git -C {REPO} status' /dev/null < /dev/null")
    terminal = done.stdout.splitlines()[0].strip()
    assert terminal.startswith("/dev/pts/")
    open_files = recorded(hostile, "descriptors")
    assert any(line.startswith("/dev/pts/") for line in open_files)  # the agent's own
    assert terminal not in open_files
    script = f"readlink /proc/self/fd/1 | tee /dev/stderr; git -C {REPO} status | cat"
    outer = root(hostile, f"{{ readlink /proc/$$/fd/1; git -C {REPO} status; }} | cat").stdout.splitlines()[0]
    assert outer.startswith("pipe:"), script
    assert outer not in recorded(hostile, "descriptors")


def test_a_process_left_behind_does_not_block_root(hostile: Running) -> None:
    """A shell's $(git ...) ends with git, even if a process of the agent still holds git's output."""
    shell(hostile, "touch stays", "/workspace")
    try:
        assert root(hostile, f'echo "[$(git -C {REPO} st)]"').stdout == "[]\n"
        assert hostile.agent("pgrep", "-x", "sleep").returncode == 0
    finally:
        shell(hostile, "rm stays; pkill -x sleep", "/workspace")


def test_the_agents_git_is_as_before(hostile: Running) -> None:
    done = hostile.agent("git", "-C", REPO, "rev-parse", "--show-toplevel")
    assert (done.returncode, done.stdout) == (0, f"{REPO}\n")
    assert hostile.agent("git", "--exec-path").stdout == root(hostile, "/usr/bin/git --exec-path").stdout


def test_as_agent_runs_any_program_as_the_agent(hostile: Running) -> None:
    done = root(hostile, "cd /workspace && SECRET=x codetainer as-agent -- sh -c 'id -u; pwd; echo $HOME $SECRET; exit 7'")
    assert (done.returncode, done.stdout) == (7, "1000\n/workspace\n/home/claude\n")
    status = root(hostile, "codetainer as-agent -- grep -E 'NoNewPrivs|Seccomp:|CapBnd' /proc/self/status").stdout.split()
    assert status == ["CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert hostile.agent("codetainer", "as-agent", "--", "id", "-u").stdout == "1000\n"
    assert "/dev/pts/" in root(hostile, "script -qec 'codetainer as-agent -- tty' /dev/null < /dev/null").stdout


def test_without_a_sandbox_git_is_git(tmp_path: Path) -> None:
    """For example in the build of an image based on ours, in which root may clone."""
    launcher = Path(__file__).parents[2] / "backend/launchers/git"
    copied = tmp_path / "git"
    copied.write_text(launcher.read_text().replace("/opt/codetainer/git", "/usr/bin/git"))
    copied.chmod(0o755)
    assert subprocess.run([copied, "--version"], capture_output=True, text=True, check=True).stdout.startswith("git version")


MACHINE = r"""
set -e
mount -t tmpfs none /usr/local/bin
printf '#!/bin/sh\n[ "$1" != --version ] || { echo of this machine; exit; }\nexec /usr/bin/git "$@"\n' > /usr/local/bin/git
chmod 755 /usr/local/bin /usr/local/bin/git
exec "$@"
"""


@pytest.mark.parametrize("options", [[], ["--root-command"]])
def test_a_git_of_this_machine_at_the_launchers_path(tmp_path: Path, options: list[str]) -> None:
    """`up` mounts the launcher over it, and the launcher runs this git."""
    (tmp_path / "domains.conf").write_text("github.com\n")
    up = [
        *CODETAINER,
        "up",
        "--net",
        "pretend",
        "--name",
        f"own-git-{os.getpid()}",
        "--domains",
        str(tmp_path / "domains.conf"),
    ]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MACHINE, "sh", *up, *options,
         "--", "sh", "-c", "git --version; git log -1 --format=%s"],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == "of this machine", done.stderr
    assert done.stdout.splitlines()[1].startswith("Step "), done.stderr
