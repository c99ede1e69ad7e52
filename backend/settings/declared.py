"""Every setting, each with its variable, type, default and meaning. Durations are in seconds, sizes in bytes.

Length: a declaration for each setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from backend.contract import durations
from backend.contract.immutable import dataclass
from backend.settings import credentials_file, values
from backend.settings.values import (
    Autosave,
    Debug,
    GateMode,
    Learn,
    LogFormat,
    Login,
    NotifyText,
    OnFailure,
    Override,
    Pretend,
    Resume,
    Seccomp,
    Where,
)
from backend.settings.variable import Variable, declared, setting
from network import telemetry
from network.firewall.ruleset import Listener
from network.gate import budget, credentials
from network.gate.budget import Limit
from network.gate.credentials import Host
from network.gate.references import References
from network.telemetry import Telemetry

if TYPE_CHECKING:
    from network.destinations import Destination

# Credentials of every sandbox; the operator's own credentials file may add others (see `Secrets`).
CREDENTIALS = (
    Variable("GH_PAT", "GitHub token: clone, fetch, push, gh, GitHub Packages", values.token, None, "a token", secret=True),
    Variable(
        "CLAUDE_CODE_OAUTH_TOKEN", "Claude Code's token; this or ANTHROPIC_API_KEY", values.token, "", "a token", secret=True
    ),
    Variable("ANTHROPIC_API_KEY", "Anthropic API key; this or CLAUDE_CODE_OAUTH_TOKEN", values.token, "", "a key", secret=True),
)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Credentials, or placeholders for them, by variable. Kept out of repr(), and so out of tracebacks."""

    by_variable: Mapping[str, str]

    def __repr__(self) -> str:
        return "Secrets(...)"

    @property
    def gh_pat(self) -> str:
        return self.by_variable.get("GH_PAT", "")

    @property
    def oauth_token(self) -> str:
        return self.by_variable.get("CLAUDE_CODE_OAUTH_TOKEN", "")

    @property
    def api_key(self) -> str:
        return self.by_variable.get("ANTHROPIC_API_KEY", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. `environment.load` derives the fields that have no variable of their own."""

    secrets: Secrets
    hosts: tuple[Host, ...]  # the hosts that get a credential
    telemetry: Telemetry

    repo_url: str = setting(
        "REPO_URL",
        "Repository cloned to /workspace/repo",
        values.repository,
        "",
        "https://HOST/OWNER/REPO, no credentials",
        unset="",
        example="https://github.com/owner/repo",
    )
    prompt: str = setting(
        "CLAUDE_PROMPT",
        "Task that Claude starts at boot, before any login",
        values.text,
        "",
        unset="",
        example="Fix the failing test in tests/test_login.py and open a pull request",
    )
    name: str = setting(
        "CODETAINER_NAME",
        "Name of the sandbox, first on screens and in the terminal's title; `up` sets it to its --name",
        values.sandbox_name,
        "",
        "up to 64 letters, digits, dots, - and _",
        unset="",
        example="work",
    )
    git_user_name: str = setting("GIT_USER_NAME", "Commit author's name", values.one_line, "codetainer", "one line")
    git_user_email: str = setting(
        "GIT_USER_EMAIL", "Commit author's email address", values.one_line, "codetainer@noreply.github.com", "one line"
    )
    extra_domains: str = setting(
        "CODETAINER_EXTRA_DOMAINS",
        "Entries to add to the allowlist, separated by spaces or commas",
        values.domains,
        "",
        "entries",
        unset="",
        example="files.example.com *.assets.example.com git.example.com:2222",
    )
    learn: Learn = setting(
        "CODETAINER_LEARN",
        "Learning run: open public names when they are asked for, and write an allowlist of what was used; "
        "force: with CLAUDE_PROMPT, too",
        Learn,
        "off",
        "on, force or off",
    )
    upstreams: tuple[str, ...] = setting(
        "CODETAINER_UPSTREAM",
        "Upstream resolvers; default: those of /etc/resolv.conf",
        values.upstreams,
        "",
        "IPv4 addresses, each ADDRESS[:PORT] or tls://ADDRESS[#NAME]",
        unset=(),
        example="tls://1.1.1.1#cloudflare-dns.com 192.0.2.53",
    )
    tmpfs_workspace: int = setting(
        "CODETAINER_TMPFS_WORKSPACE", "Size of /workspace, which has room for one file or folder per 4 KiB of it", values.size,
        "512M", "a size such as 512M or 2G"
    )  # fmt: skip
    tmpfs_tmp: int = setting("CODETAINER_TMPFS_TMP", "Size of /tmp, as above", values.size, "512M", "a size such as 512M or 2G")
    tmpfs_home: int = setting(
        "CODETAINER_TMPFS_HOME", "Size of /home/claude, as above", values.size, "1G", "a size such as 512M or 2G"
    )
    refresh_seconds: float = setting(
        "CODETAINER_REFRESH", "Interval between resolving all names of the allowlist", durations.read, "5m", values.DURATION
    )
    keep_seconds: float = setting(
        "CODETAINER_KEEP",
        "How long an address stays open after DNS last handed it out",
        durations.read,
        "4h",
        values.DURATION,
    )
    proof_seconds: float = setting(
        "CODETAINER_PROOF", "Interval between self-tests of the protections", durations.read, "3m", values.DURATION
    )
    inbound_ports: tuple[int, ...] = setting(
        "CODETAINER_INBOUND_PORTS",
        "TCP ports that are reachable from outside",
        values.ports,
        "",
        "port numbers",
        unset=(),
        example="3000 8080",
    )
    ssh_keys: tuple[str, ...] = setting(
        "CODETAINER_SSH_KEYS",
        "Public keys that may log in over ssh, as root; sshd runs only if this is set",
        values.ssh_keys,
        "",
        "authorized keys, one per line",
        unset=(),
    )
    ssh_port: int = setting("CODETAINER_SSH_PORT", "sshd's TCP port inside the sandbox", values.port, "22", "a port number")
    metrics: Listener | None = setting(
        "CODETAINER_METRICS",
        "Address that serves /metrics to Prometheus; off unless set",
        values.listener,
        "",
        "ADDRESS:PORT, an IPv4 address of the sandbox or 0.0.0.0",
        example="0.0.0.0:9464",
    )
    gate: GateMode = setting(
        "CODETAINER_GATE",
        "Check connections by host name, not only by address; turn off only if the kernel lacks NAT",
        GateMode,
        "on",
        "on or off",
    )
    credentials: Where = setting(
        "CODETAINER_CREDENTIALS",
        "Location of the credentials: outside, in the gate, or inside, with the agent",
        Where,
        "outside",
        "outside or inside",
    )
    seccomp: Seccomp = setting(
        "CODETAINER_SECCOMP",
        "Filter the agent's system calls; turn off only for work that needs user namespaces",
        Seccomp,
        "on",
        "on or off",
    )
    claude_override: Override = setting(
        "CODETAINER_CLAUDE_OVERRIDE",
        "Start Claude without those settings of the repository that stand in the way of unattended work",
        Override,
        "off",
        "on or off",
    )
    resume: Resume = setting(
        "CODETAINER_RESUME",
        "Tell Claude to continue when a usage limit is over, or after a failure of the API ended its turn",
        Resume,
        "on",
        "on or off",
    )
    stuck_seconds: float = setting(
        "CODETAINER_STUCK",
        "Report Claude as stuck after so long without an answer of the API, output, or a child at work",
        values.patience,
        "30m",
        f"{values.DURATION}, or off",
    )
    push: tuple[str, ...] = setting(
        "CODETAINER_PUSH",
        "Repositories that the agent may write to, besides REPO_URL's; * for all. A wiki (OWNER/REPO.wiki) has to be named",
        values.push,
        "",
        "OWNER/REPO, OWNER/* or *, separated by spaces or commas",
        unset=(),
        example="owner/other friends/*",
    )
    references: References = setting(
        "CODETAINER_REFERENCES",
        "References to other repositories and mentions of accounts in the agent's texts and commit messages at GitHub",
        References,
        "pass",
        "pass or refuse",
    )
    model_tools: tuple[str, ...] = setting(
        "CODETAINER_MODEL_TOOLS",
        "What the model may use outside the sandbox: web_search, web_fetch, code_execution, mcp, container, url, file",
        values.model_tools,
        "",
        "these words, or exact types of tools, separated by spaces or commas",
        unset=(),
        example="web_search web_fetch",
    )
    budget: tuple[Limit, ...] = setting(
        "CODETAINER_BUDGET",
        "What the model may use, for the sandbox's life or per hour: calls, tokens, input, output, cached, cost (US dollars)",
        budget.limits,
        "",
        "limits such as calls=500/h tokens=2M/h cost=20",
        unset=(),
        example="cost=20 calls=500/h",
    )
    notify: tuple[Destination, ...] = setting(
        "CODETAINER_NOTIFY",
        "Services that get a message if the sandbox needs you, ends or fails: ntfy, Slack, Discord, Matrix, mail, a webhook",
        values.notify,
        "",
        "addresses such as ntfys://HOST/TOPIC, separated by spaces",
        unset=(),
        example="ntfys://tk_TOKEN@ntfy.example.com/TOPIC mailtos://USER:PASSWORD@smtp.example.com?from=A@B&to=C@D",
        secret=True,
    )
    notify_text: NotifyText = setting(
        "CODETAINER_NOTIFY_TEXT",
        "Put the agent's own text into notifications: its question, refused names, branches",
        NotifyText,
        "off",
        "on or off",
    )
    report: values.ReportTime = setting(
        "CODETAINER_REPORT",
        "Send a summary of what happened: daily at this time (UTC), and at the end of session and sandbox; end: only then",
        values.report_time,
        "off",
        "a time such as 06:30, end or off",
        example="06:30",
    )
    certificate_seconds: float = setting(
        "CODETAINER_CERTIFICATES",
        "Validity of the gate's certificates, which are renewed after two thirds of this time",
        durations.read,
        "365d",
        values.DURATION,
    )
    much_out: int = setting(
        "CODETAINER_MUCH_OUT",
        "Flag hosts that receive more than this from the agent, and more than they send",
        values.size,
        "64M",
        "a size such as 64M or 1G",
    )
    autosave: Autosave = setting(
        "CODETAINER_AUTOSAVE",
        "Interval between saves of unpushed work to a wip/... branch; exit: only when the sandbox stops",
        values.autosave,
        "off",
        f"{values.DURATION}, exit or off",
        example="10m",
    )
    state: str = setting(
        "CODETAINER_STATE",
        "Folder that keeps all of the sandbox's work, written regularly and when it stops, resumed when it starts",
        values.folder,
        "",
        "an absolute path of a folder that only root can write to",
        unset="",
        example="/volume",
    )
    state_seconds: float = setting(
        "CODETAINER_STATE_INTERVAL", "Interval between two writes to CODETAINER_STATE", durations.read, "10m", values.DURATION
    )
    grace_seconds: float = setting(
        "CODETAINER_GRACE",
        "Time from SIGTERM to the end of the sandbox, final save included",
        durations.read,
        "10s",
        values.DURATION,
    )
    on_failure: OnFailure = setting(
        "CODETAINER_ON_FAILURE",
        "After a halted boot: keep the container running (hold), or exit with code 1",
        OnFailure,
        "hold",
        "hold or exit",
    )
    login: Login = setting(
        "CODETAINER_LOGIN",
        "First screen of a login after boot: the session in tmux, or the dashboard",
        Login,
        "tmux",
        "tmux or dashboard",
    )
    popup_key: str = setting(
        "CODETAINER_POPUP_KEY", "Key after the tmux prefix that opens the dashboard", values.one_key, "D", "one letter or digit"
    )
    lock_timeout: float = setting(
        "CODETAINER_LOCK_TIMEOUT", "How long a login waits for boot to finish", durations.read, "5m", values.DURATION
    )
    log_format: LogFormat = setting(
        "CODETAINER_LOG_FORMAT", "Output format of `codetainer boot --no-tui`", LogFormat, "text", "text or json"
    )
    debug: Debug = setting(
        "CODETAINER_DEBUG",
        "Record every command that boot runs in a root-only log (`codetainer logs --debug`)",
        Debug,
        "off",
        "on or off",
    )
    pretend: Pretend = setting(
        "CODETAINER_PRETEND",
        "Set by `codetainer up --net pretend`: pushed work ends with the sandbox, so a save does not rescue it",
        Pretend,
        "off",
        "on or off",
    )

    @property
    def repository(self) -> str:
        """REPO_URL's `owner/repo`, for display; "" if it is not set."""
        return "/".join(self.repo_url.removesuffix(".git").rstrip("/").split("/")[-2:]) if self.repo_url else ""

    @property
    def open_ssh_port(self) -> int:
        """The port open for sshd, 0 if sshd does not run."""
        return self.ssh_port if self.ssh_keys else 0

    @property
    def learns(self) -> bool:
        """True in a learning run."""
        return self.learn is not Learn.OFF

    @property
    def outside(self) -> bool:
        """True if the gate holds the credentials. Without a gate nothing can insert them, so the agent gets them."""
        return self.credentials is Where.OUTSIDE and self.gate is GateMode.ON

    @property
    def agent_secrets(self) -> Secrets:
        """The agent's values of the credentials that are set: placeholders, or (inside) the credentials themselves."""
        if not self.outside:
            return self.secrets
        placeholders = credentials.placeholders(self.hosts)
        return Secrets({variable: placeholders[variable] for variable in self.secrets.by_variable})

    @property
    def own_secrets(self) -> Mapping[str, str]:
        """The agent's values of the credentials that only the operator's own file describes, by variable."""
        shipped = credentials.variables(credentials_file.shipped())
        others = shipped.keys() | self.telemetry.secrets.keys()
        return {name: value for name, value in self.agent_secrets.by_variable.items() if name not in others}

    @property
    def secret_values(self) -> tuple[tuple[str, str], ...]:
        """Variable and value of each secret that must stay out of logs, with the parts of headers and addresses."""
        headers = ((name, value) for name, value in self.telemetry.variables.items() if telemetry.is_secret(name))
        parts = ((name, part) for name, value in headers for part in telemetry.header_parts(value))
        return (*self.secrets.by_variable.items(), *parts, *self.notify_secrets)

    @property
    def notify_secrets(self) -> tuple[tuple[str, str], ...]:
        """Variable and value of each secret part of the notification services' addresses."""
        return tuple(("CODETAINER_NOTIFY", part) for destination in self.notify for part in destination.secrets)

    @property
    def writable(self) -> tuple[str, ...]:
        """GitHub repositories that the agent may write to: REPO_URL's own and those of CODETAINER_PUSH."""
        own = (self.repository,) if self.repo_url.startswith("https://github.com/") else ()
        return tuple(dict.fromkeys((*own, *self.push)))


VARIABLES: tuple[Variable, ...] = (*CREDENTIALS, *declared(Settings))
