"""Where everything lives inside a sandbox. Nothing else in the project spells one of these paths out."""

from dataclasses import dataclass
from pathlib import Path

AGENT_UID = 1000
COREDNS_UID = 953
GUARD_UID = 954
GATE_UID = 955
EXPORTER_UID = 956
STOPPER_UID = 957  # nobody's: backend/agent/freezer.py


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one sandbox, below `root`.

    `root` is `/` in a running sandbox and a temporary folder in tests: a path prefix, so that nothing in `os` has to be
    patched.
    """

    root: Path = Path("/")

    # --- /run/codetainer: ours, root-owned, memory-backed, writable after the root is read-only ---

    @property
    def run(self) -> Path:
        """The folder of everything that changes while the sandbox runs (root-owned, 0755)."""
        return self.root / "run/codetainer"

    @property
    def journal(self) -> Path:
        """The current segment of the journal, world-readable; the one before it is `events.1.jsonl`."""
        return self.run / "events.jsonl"

    @property
    def lock(self) -> Path:
        """The init lock: held (flock, exclusive) from before anybody can log in until the session exists or init failed."""
        return self.run / "init.lock"

    @property
    def boot_lock(self) -> Path:
        """Held as long as the sandbox's one boot process lives."""
        return self.run / "boot.lock"

    @property
    def control(self) -> Path:
        """The control socket (0600, root by peer credentials)."""
        return self.run / "control.sock"

    @property
    def corefile(self) -> Path:
        return self.run / "Corefile"

    @property
    def gate(self) -> Path:
        """The gate's folder (0700, root): its configuration, its lists, its admin socket."""
        return self.run / "gate"

    @property
    def ssh(self) -> Path:
        """sshd's folder (0700, root): its host key, the authorized keys, its configuration."""
        return self.run / "ssh"

    @property
    def sshd(self) -> Path:
        """Where sshd's unprivileged half lives, an empty folder: its path is compiled in."""
        return self.root / "run/sshd"

    @property
    def trusted(self) -> Path:
        """The authorities that everything inside trusts, the gate's own among them; it covers the system's bundle."""
        return self.run / "trusted.crt"

    @property
    def traffic(self) -> Path:
        """What the gate carried, a connection a line (contract/traffic.py); what came before it is `traffic.jsonl.1`."""
        return self.run / "traffic.jsonl"

    @property
    def debug_log(self) -> Path:
        """Every command that boot ran (0600, root), only with CODETAINER_DEBUG; what came before it is `debug.log.1`."""
        return self.run / "debug.log"

    @property
    def front_end(self) -> Path:
        """The settings that the front ends and confine read (backend/contract/front_end.py)."""
        return self.run / "front-end"

    @property
    def frozen(self) -> Path:
        """There while the sandbox is frozen: nothing is started as the agent then, by root's hand either."""
        return self.run / "frozen"

    @property
    def cgroups(self) -> Path:
        """The hierarchy of cgroups (0700, root), mounted when the agent is first frozen."""
        return self.run / "cgroups"

    @property
    def tmux_socket(self) -> Path:
        """In a folder of the agent's own (0711, uid claude): the server runs as the agent, so does every client."""
        return self.run / "tmux/server.sock"

    @property
    def tmux_config(self) -> Path:
        return self.run / "tmux.conf"

    @property
    def gh_files(self) -> Path:
        """What `gh_config` is a link to: the root may be read-only from the start."""
        return self.run / "gh-config"

    @property
    def git_file(self) -> Path:
        """What `git_config` is a link to."""
        return self.run / "gitconfig"

    @property
    def agent_report(self) -> Path:
        """What the agent's hooks say of the session. Only the agent writes it and nobody trusts it."""
        return self.root / "home/claude/.codetainer/session.json"

    @property
    def agent_activity(self) -> Path:
        """Beside it: whether the agent works, waits or is idle, and since when."""
        return self.agent_report.with_name("activity.json")

    # --- what the image (or `codetainer up`) lays down, read-only ---

    @property
    def opt(self) -> Path:
        return self.root / "opt/codetainer"

    @property
    def python(self) -> Path:
        """The interpreter of our virtual environment; always started with `-I`: the work directory is the agent's."""
        return self.opt / "venv/bin/python3"

    @property
    def hooks(self) -> Path:
        """The programs of `backend/hooks`: started by path, without a package around them, by claude-settings.json."""
        return self.opt / "lib/backend/hooks"

    @property
    def domains(self) -> Path:
        return self.root / "opt/network/domains.conf"

    @property
    def credentials(self) -> Path:
        """The operator's own hosts and credentials, beside the shipped ones; need not be there."""
        return self.root / "opt/network/credentials.toml"

    @property
    def dashboard(self) -> Path:
        """The operator's keys and notifications (codetainer_tui/dashboard/preferences.py); need not be there."""
        return self.root / "opt/codetainer/dashboard.toml"

    @property
    def claude_settings(self) -> Path:
        """Template of Claude Code's settings, and beside it an optional CLAUDE.md and skills/."""
        return self.root / "opt/claude/settings.json"

    @property
    def gh_config(self) -> Path:
        """gh's configuration, by the name that its users are given."""
        return self.root / "opt/gh-config"

    @property
    def git_config(self) -> Path:
        """The system's git configuration, where git looks for it."""
        return self.root / "etc/gitconfig"

    @property
    def coredns(self) -> Path:
        return self.root / "usr/local/bin/coredns"

    @property
    def git(self) -> Path:
        """git itself: /usr/local/bin/git is a launcher of ours."""
        return self.root / "opt/codetainer/git"

    @property
    def confine(self) -> Path:
        """What every process of the agent's is started through: it puts on the system call filter (backend/confine/)."""
        return self.root / "opt/codetainer/confine"

    @property
    def codetainer(self) -> Path:
        """The command line of the front ends."""
        return self.root / "usr/local/bin/codetainer"

    @property
    def resolv_conf(self) -> Path:
        return self.root / "etc/resolv.conf"

    @property
    def own_resolv_conf(self) -> Path:
        """Covers `resolv_conf` where that cannot be written."""
        return self.run / "resolv.conf"

    @property
    def ca_bundle(self) -> Path:
        """The certificates that everything in the sandbox trusts."""
        return self.root / "etc/ssl/certs/ca-certificates.crt"

    @property
    def fly(self) -> Path:
        """What Fly.io's init puts into a machine: its SSH server, and the socket of the machine's API."""
        return self.root / ".fly"

    # --- the agent's ---

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
