"""The paths and uids of a sandbox. No other module spells out one of these paths.

Length: a property for each path.
"""

from pathlib import Path

from backend.contract.immutable import dataclass

AGENT_UID = 1000
COREDNS_UID = 953
GUARD_UID = 954
GATE_UID = 955
EXPORTER_UID = 956
STOPPER_UID = 957  # owns no files: backend/agent/freezer.py
READER_UID = 958
NOTIFIER_UID = 959
# The uids with an account; the gid of each is the same number.
USERS = {
    "claude": AGENT_UID, "coredns": COREDNS_UID, "guard": GUARD_UID, "gate": GATE_UID, "exporter": EXPORTER_UID,
    "reader": READER_UID, "notifier": NOTIFIER_UID,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one sandbox, below `root`.

    `root` is `/` in a running sandbox and a temporary folder in tests, which therefore need not patch `os`.
    """

    root: Path = Path("/")

    # --- /run/codetainer: root-owned, in memory, stays writable when the root becomes read-only ---

    @property
    def run(self) -> Path:
        """The folder of all files that change while the sandbox runs (root-owned, 0755)."""
        return self.root / "run/codetainer"

    @property
    def journal(self) -> Path:
        """The current segment of the journal, world-readable; the one before it is `events.1.jsonl`."""
        return self.run / "events.jsonl"

    @property
    def journal_before(self) -> Path:
        """The end of the journal of the suspended sandbox whose work was resumed, world-readable."""
        return self.run / "events.before.jsonl"

    @property
    def lock(self) -> Path:
        """The init lock (flock, exclusive): boot holds it until the session exists or boot has failed; logins wait for it."""
        return self.run / "init.lock"

    @property
    def boot_lock(self) -> Path:
        """The lock that the sandbox's one boot process holds while it lives."""
        return self.run / "boot.lock"

    @property
    def control(self) -> Path:
        """The control socket (0600; peer credentials must be root's)."""
        return self.run / "control.sock"

    @property
    def corefile(self) -> Path:
        return self.run / "Corefile"

    @property
    def listed_names(self) -> Path:
        """The names that CoreDNS answers, one per line."""
        return self.run / "names"

    @property
    def gate(self) -> Path:
        """The gate's folder (0700, root): configuration, host lists, admin socket."""
        return self.run / "gate"

    @property
    def budget(self) -> Path:
        """What the model has used so far (0600, root): network/gate/budget.py."""
        return self.run / "budget.json"

    @property
    def notifier_authorities(self) -> Path:
        """The CAs that a sender of notifications trusts: the system's at boot, without the gate's."""
        return self.run / "notifier-authorities.crt"

    @property
    def learned(self) -> Path:
        """The allowlist that a learning run has learned so far (0600, root). It exists only in a learning run."""
        return self.run / "learned.conf"

    @property
    def ssh(self) -> Path:
        """sshd's folder (0700, root): host key, authorized keys, configuration."""
        return self.run / "ssh"

    @property
    def sshd(self) -> Path:
        """The empty folder that sshd's unprivileged half uses as its root. The path is compiled into sshd."""
        return self.root / "run/sshd"

    @property
    def trusted(self) -> Path:
        """The CA bundle with the gate's own authority added, which is mounted over the system's bundle."""
        return self.run / "trusted.crt"

    @property
    def node_authorities(self) -> Path:
        """The CAs that Node.js and bun trust in addition to those that they have built in."""
        return self.run / "node.crt"

    @property
    def java_trusted(self) -> Path:
        """Java's store with the gate's authority, mounted over `java_authorities`; the names of the files end with a number."""
        return self.run / "cacerts"

    @property
    def traffic(self) -> Path:
        """The gate's traffic log, one connection per line (contract/traffic.py); the previous file is `traffic.jsonl.1`."""
        return self.run / "traffic.jsonl"

    @property
    def debug_log(self) -> Path:
        """The log of all commands that boot runs (0600, root), if CODETAINER_DEBUG is on; the previous one is `debug.log.1`."""
        return self.run / "debug.log"

    @property
    def front_end(self) -> Path:
        """The settings that the front ends and confine read (backend/contract/front_end.py)."""
        return self.run / "front-end"

    @property
    def saved_work(self) -> Path:
        """The contents of the last save, to tell later what it does not contain (work.baseline.Baseline)."""
        return self.run / "saved-work.json"

    @property
    def frozen(self) -> Path:
        """Exists while the sandbox is frozen: no process may start as the agent then, not even on root's behalf."""
        return self.run / "frozen"

    @property
    def cgroups(self) -> Path:
        """The cgroup hierarchy (0700, root), mounted when the agent is first frozen."""
        return self.run / "cgroups"

    @property
    def tmux_socket(self) -> Path:
        """The socket of the tmux server, in a folder that the agent owns (0711): server and clients run as the agent."""
        return self.run / "tmux/server.sock"

    @property
    def tmux_config(self) -> Path:
        return self.run / "tmux.conf"

    @property
    def gh_files(self) -> Path:
        """The target of the link `gh_config`, because the root may be read-only from the start."""
        return self.run / "gh-config"

    @property
    def git_file(self) -> Path:
        """The target of the link `git_config`."""
        return self.run / "gitconfig"

    @property
    def agent_report(self) -> Path:
        """The report of the agent's hooks on the session. The agent writes it, so do not trust it."""
        return self.root / "home/claude/.codetainer/session.json"

    @property
    def agent_activity(self) -> Path:
        """The other report of the hooks: whether the agent works, waits or is idle, and since when."""
        return self.agent_report.with_name("activity.json")

    @property
    def claude_managed_file(self) -> Path:
        """The target of the link `claude_managed`."""
        return self.run / "claude-managed.json"

    @property
    def claude_repository(self) -> Path:
        """The repository's settings for Claude Code, to use instead of its own files, if CODETAINER_CLAUDE_OVERRIDE is on."""
        return self.run / "claude-repository.json"

    # --- files that the image (or `codetainer up`) provides, read-only ---

    @property
    def opt(self) -> Path:
        return self.root / "opt/codetainer"

    @property
    def resume(self) -> Path:
        """The archive that `codetainer up --resume` names, which it has verified (backend/suspension/archive.py)."""
        return self.opt / "resume.tar"

    @property
    def work_bundle(self) -> Path:
        """The operator's repository, from `codetainer up --work` (backend/sandbox/own_folder.py)."""
        return self.opt / "work.bundle"

    @property
    def work_branch(self) -> Path:
        """The name of the branch of `work_bundle` to check out; readable by root only."""
        return self.root / "run/codetainer-settings/work-branch"

    @property
    def state(self) -> Path:
        """The folder of this machine that CODETAINER_STATE names, in a sandbox of `codetainer up`."""
        return self.opt / "state"

    @property
    def python(self) -> Path:
        """The Python of our virtual environment. Start it with `-I`, because the agent can write to the work directory."""
        return self.opt / "venv/bin/python3"

    @property
    def hooks(self) -> Path:
        """The programs of `backend/hooks`, which claude-settings.json starts by path, outside of any package."""
        return self.opt / "lib/backend/hooks"

    @property
    def domains(self) -> Path:
        return self.root / "opt/network/domains.conf"

    @property
    def credentials(self) -> Path:
        """The operator's own hosts and credentials, in addition to the shipped ones; optional."""
        return self.root / "opt/network/credentials.toml"

    @property
    def dashboard(self) -> Path:
        """The operator's keys and notifications (codetainer_tui/dashboard/preferences.py); optional."""
        return self.root / "opt/codetainer/dashboard.toml"

    @property
    def claude_settings(self) -> Path:
        """The template of Claude Code's settings. Its folder may also contain a CLAUDE.md and skills/."""
        return self.root / "opt/claude/settings.json"

    @property
    def claude_managed(self) -> Path:
        """The managed settings of Claude Code: they outrank all others, and the agent cannot change them.

        A file of its own, beside those of the machine's administrator (https://code.claude.com/docs/en/settings).
        """
        return self.root / "etc/claude-code/managed-settings.d/codetainer.json"

    @property
    def gh_config(self) -> Path:
        """The folder of gh's configuration that GH_CONFIG_DIR names."""
        return self.root / "opt/gh-config"

    @property
    def git_config(self) -> Path:
        """The path where git looks for its system configuration."""
        return self.root / "etc/gitconfig"

    @property
    def coredns(self) -> Path:
        return self.root / "usr/local/bin/coredns"

    @property
    def git(self) -> Path:
        """The real git: /usr/local/bin/git is our launcher."""
        return self.root / "opt/codetainer/git"

    @property
    def confine(self) -> Path:
        """The program that installs the system call filter and then starts a process as the agent (backend/confine/)."""
        return self.root / "opt/codetainer/confine"

    @property
    def reader(self) -> Path:
        """The program that reads requests to the model between the two halves of the gate (network/gate/reader/)."""
        return self.root / "opt/codetainer/reader"

    @property
    def codetainer(self) -> Path:
        """The command line of the front ends."""
        return self.root / "usr/local/bin/codetainer"

    @property
    def resolv_conf(self) -> Path:
        return self.root / "etc/resolv.conf"

    @property
    def own_resolv_conf(self) -> Path:
        """Mounted over `resolv_conf` if that cannot be written."""
        return self.run / "resolv.conf"

    @property
    def ca_bundle(self) -> Path:
        """The system's CA bundle."""
        return self.root / "etc/ssl/certs/ca-certificates.crt"

    @property
    def shipped_authorities(self) -> Path:
        """The folder of the CA certificates that the distribution ships: Mozilla's."""
        return self.root / "usr/share/ca-certificates/mozilla"

    @property
    def java_authorities(self) -> Path:
        """Java's trust store in Debian (package ca-certificates-java)."""
        return self.root / "etc/ssl/certs/java/cacerts"

    @property
    def fly(self) -> Path:
        """The folder that Fly.io's init adds to a machine: its SSH server and the socket of the machine's API."""
        return self.root / ".fly"

    # --- the agent's folders ---

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def repository(self) -> Path:
        return self.root / "workspace/repo"

    @property
    def home(self) -> Path:
        return self.root / "home/claude"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"
