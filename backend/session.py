"""The Claude session: a tmux server of the agent's own, Claude Code above, a shell below."""

from __future__ import annotations

import hashlib
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from backend import system
from backend.boot import agent
from backend.contract.paths import AGENT_UID, Paths
from backend.system import AGENT, SystemFailure

NAME = "claude"
MOST_PROMPT = 120_000  # bytes; the kernel takes 128 KiB in one argument

# Its own socket and configuration, root's: nothing of the agent's is read.
CONFIGURATION = """\
set -g default-terminal "tmux-256color"
set -ga terminal-overrides ",*256col*:Tc"
set -g mouse on
set -g focus-events on
set -g set-clipboard on
set -g escape-time 0
set -g history-limit 250000
set -g status off
set -g exit-empty on
set -s extended-keys on
set -g set-titles on
set -g set-titles-string "#S"
bind-key {key} display-popup -E -w 90% -h 90% "codetainer dashboard --stay"
"""


@dataclass(frozen=True, slots=True)
class Session:
    """The tmux server and the process of the agent's pane."""

    server: int
    agent: int

    def alive(self) -> tuple[bool, bool]:
        """Whether the server and the agent's pane live."""
        return _lives(self.server), _lives(self.agent)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def prepare(paths: Paths, popup_key: str) -> None:
    """The server's folder (the agent's, 0700) and its configuration (root's)."""
    folder = paths.tmux_socket.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, AGENT_UID, AGENT_UID)
    system.write(paths.tmux_config, CONFIGURATION.replace("{key}", popup_key))


def keep_prompt(paths: Paths, prompt: str) -> str:
    """Writes the prompt where the session's first command reads it once; returns what may be said of it: its hash."""
    data = prompt.encode()
    if len(data) > MOST_PROMPT:
        raise SystemFailure(f"CLAUDE_PROMPT has {len(data)} bytes, at most {MOST_PROMPT} fit", "put it into a file")
    agent.write(paths.run / "tmux/prompt", prompt, 0o600)  # as the agent: the folder is its own, and may hold anything
    return hashlib.sha256(data).hexdigest()


async def start(paths: Paths, environment: dict[str, str], folder: Path) -> Session:
    """Starts the server with both panes. Raises SystemFailure."""
    tmux = ["tmux", "-S", str(paths.tmux_socket), "-f", str(paths.tmux_config)]
    top = shlex.join(["/usr/local/bin/start-claude", str(paths.run / "tmux/prompt")])
    done = await system.run_async(
        [*tmux, "new-session", "-d", "-P", "-F", "#{pid} #{pane_pid}", "-s", NAME, "-x", "200", "-y", "50",
         "-c", str(folder), top, ";", "split-window", "-v", "-l", "20%", "-c", str(folder), "-t", f"={NAME}:",
         ";", "select-pane", "-t", f"={NAME}:.0"],
        identity=AGENT, environment=environment, cwd=folder,
    )  # fmt: skip
    server, pane = done.out.split()[:2]
    return Session(int(server), int(pane))


async def end(paths: Paths) -> None:
    """Ends the server and everything in it."""
    await system.run_async(["tmux", "-S", str(paths.tmux_socket), "kill-server"], identity=AGENT, check=False, timeout=5)
