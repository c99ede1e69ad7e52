"""All steps of boot, with their dependencies. The order depends only on `needs`."""

from __future__ import annotations

from backend.boot.plan import OnFailure, Step, ordered
from backend.boot.steps import (
    addresses,
    allowlist,
    certificates,
    claude,
    clone,
    closed,
    gate,
    git,
    guard,
    metrics,
    names,
    platform,
    plugins,
    readiness,
    readonly,
    restore,
    rules,
    session,
    ssh,
    suspended,
    tmpfs,
    tools,
)


def plan(repository: str = "") -> tuple[Step, ...]:
    """Returns the plan of a boot. `repository` is for the title of the clone step."""
    return ordered(
        (
            Step("closed", "Network closed", closed.run, timeout=10, rebuild=True),
            # Right after the network is closed and before any step that may halt, so that operators can watch the boot.
            Step("ssh", "SSH", ssh.run, ("closed",), timeout=15, on_failure=OnFailure.DEGRADE),
            Step("metrics", "Metrics", metrics.run, ("closed",), timeout=15, on_failure=OnFailure.DEGRADE),
            Step("platform", "The platform's socket", platform.run, ("ssh", "metrics"), timeout=5),
            Step("tmpfs", "Memory file systems", tmpfs.run, ("ssh", "metrics")),
            Step("suspended", "Suspended work", suspended.run, ("ssh", "metrics"), timeout=120),
            Step("restore", "Files of suspended work", restore.run, ("tmpfs", "suspended"), timeout=restore.SECONDS),
            Step("tools", "Tools", tools.run, ("restore",), on_failure=OnFailure.DEGRADE),
            Step("list", "Allowlist", allowlist.run, ("ssh", "metrics")),
            Step("certificates", "Certificates", certificates.run, ("ssh", "metrics")),
            Step("rules", "Firewall", rules.run, ("closed", "list"), timeout=10, rebuild=True),
            Step("guard", "Guard", guard.run, ("rules",), rebuild=True),
            Step("names", "DNS (CoreDNS)", names.run, ("rules", "list"), rebuild=True),
            Step("gate", "Gate", gate.run, ("rules", "list", "certificates", "suspended"), rebuild=True),
            Step("addresses", "Addresses", addresses.run, ("guard", "names"), on_failure=OnFailure.DEGRADE),
            Step("git", "Git, gh and npm", git.run, ("restore",)),
            Step("claude", "Claude settings", claude.run, ("restore", "list")),
            Step(
                "readonly", "Root read-only", readonly.run,
                ("platform", "restore", "tools", "names", "gate", "git", "claude"), timeout=10,
            ),
            Step(
                "clone", f"Clone {repository}".strip(), clone.run, ("readonly", "addresses"), timeout=clone.SECONDS,
                on_failure=OnFailure.DEGRADE,
            ),
            Step(
                "plugins", "Plugins", plugins.run, ("readiness",), timeout=plugins.SECONDS,
                on_failure=OnFailure.DEGRADE,
            ),
            Step("readiness", "Readiness", readiness.run, ("readonly", "addresses"), rebuild=True),
            Step("session", "Session", session.run, ("readiness", "clone", "claude", "plugins", "tools"), rebuild=True),
        )
    )  # fmt: skip
