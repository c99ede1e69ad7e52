"""Configures git, gh and npm for the agent: identity and credentials, mostly in files that the agent cannot change."""

from __future__ import annotations

import json
import shutil

from backend import system
from backend.agent import agent
from backend.context import Boot
from backend.contract.paths import AGENT_UID

GITHUB = "github.com"
# As `git lfs install --system` writes it. Without this filter git checks out pointers instead of the files.
LFS = (
    '[filter "lfs"]\n\tclean = git-lfs clean -- %f\n\tsmudge = git-lfs smudge -- %f\n'
    "\tprocess = git-lfs filter-process\n\trequired = true\n"
)


async def run(boot: Boot) -> str:
    settings, paths = boot.settings, boot.paths
    paths.gh_files.mkdir(parents=True, exist_ok=True)
    paths.gh_files.chmod(0o755)
    token = settings.agent_secrets.gh_pat
    system.write(paths.git_file, gitconfig(settings.git_user_name, settings.git_user_email, lfs=has_lfs()))
    # Placeholders, unless CODETAINER_CREDENTIALS=inside. Readable only by the agent in either case.
    system.write(paths.gh_files / "git-credential", f"username=x-access-token\npassword={token}\n", mode=0o400, uid=AGENT_UID)
    hosts = {GITHUB: {"user": "x-access-token", "oauth_token": token, "git_protocol": "https"}}
    system.write(paths.gh_files / "hosts.yml", json.dumps(hosts), mode=0o400, uid=AGENT_UID)  # JSON is YAML
    system.write(paths.gh_files / "config.yml", "version: 1\ngit_protocol: https\nprompt: disabled\n")
    agent.write(paths.home / ".npmrc", "//npm.pkg.github.com/:_authToken=${GH_TOKEN}\n")
    return f"{settings.git_user_name} <{settings.git_user_email}>"


def has_lfs() -> bool:
    """True if git-lfs is installed."""
    return shutil.which("git-lfs", path=system.SYSTEM_PATH) is not None


def gitconfig(name: str, email: str, *, lfs: bool = False) -> str:
    """Returns the system's git configuration, with values quoted according to git-config(1). `lfs`: git-lfs is installed."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return (
        f"[user]\n\tname = {quoted(name)}\n\temail = {quoted(email)}\n"
        f"[init]\n\tdefaultBranch = main\n"
        f'[credential "https://{GITHUB}"]\n\thelper = /usr/local/bin/git-credential-codetainer\n'
        f'[url "https://{GITHUB}/"]\n\tinsteadOf = git@{GITHUB}:\n\tinsteadOf = ssh://git@{GITHUB}/\n' + (LFS if lfs else "")
    )
