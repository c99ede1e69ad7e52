"""The Claude session: a tmux server of the agent's own, Claude Code above, a shell below."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
from pathlib import Path

from backend import system
from backend.agent import agent
from backend.agent.session import Session
from backend.contract.paths import AGENT_UID, Paths
from backend.system import AGENT, Finished, SystemFailure

NAME = "claude"
MOST_PROMPT = 120_000  # bytes; the kernel takes 128 KiB in one argument
ROOM = 1 << 20  # bytes for socket and prompt
MOST_ANSWER = 4096  # bytes that are read of what tmux says
MOST_TITLE = 200  # bytes that are read of a pane's title

CONFIGURATION = Path(__file__).with_name("tmux.conf")


def prepare(paths: Paths, popup_key: str) -> None:
    """The server's folder (the agent's, 0711) and its configuration (root's). Raises SystemFailure.

    The folder is a file system of its own: what fills it takes no room from the journal.
    """
    folder = paths.tmux_socket.parent
    folder.mkdir(mode=0o711, exist_ok=True)
    if not folder.is_mount():  # 0711: root looks for the socket at a login, and has no CAP_DAC_OVERRIDE
        options = f"nosuid,nodev,noexec,size={ROOM},mode=0711,uid={AGENT_UID},gid={AGENT_UID}"
        system.mount("tmpfs", folder, source="tmpfs", options=options)
    system.write(paths.tmux_config, CONFIGURATION.read_text().replace("{popup_key}", popup_key))


def keep_prompt(paths: Paths, prompt: str) -> str:
    """Writes the prompt where the session's first command reads it once; returns what may be said of it: its hash."""
    data = prompt.encode()
    if len(data) > MOST_PROMPT:
        raise SystemFailure(
            f"CLAUDE_PROMPT has {len(data)} bytes, at most {MOST_PROMPT} fit",
            "Put the task into a file of the repository and refer to it.",
        )
    agent.write(_prompt(paths), prompt, 0o600)  # as the agent: the folder is its own, and may hold anything
    return hashlib.sha256(data).hexdigest()


def folder(paths: Paths) -> Path:
    """Where the session begins: in the repository, where there is one."""
    with contextlib.suppress(OSError):  # the agent may close its folders to root, which has no CAP_DAC_OVERRIDE in a container
        if paths.repository.is_dir():
            return paths.repository
    return paths.workspace


async def start(paths: Paths, environment: dict[str, str], folder: Path) -> Session:
    """Starts the server with both panes. Raises SystemFailure."""
    command = shlex.join(["/usr/local/bin/start-claude", str(_prompt(paths))])
    done = await _tmux(
        paths, environment, "-f", str(paths.tmux_config),
        "new-session", "-d", "-P", "-F", _WHICH, "-s", NAME, "-x", "200", "-y", "50", "-c", str(folder), command,
        ";", "set-option", "-p", "remain-on-exit", "on",
        ";", "split-window", "-v", "-l", "20%", "-c", str(folder), "-t", f"={NAME}:",
        ";", "select-pane", "-t", f"={NAME}:.0",
    )  # fmt: skip
    return _session(done)


async def restart(paths: Paths, environment: dict[str, str], folder: Path, before: Session | None) -> Session:
    """Starts Claude again, in its pane where that is still there; the conversation goes on. Raises SystemFailure.

    The shell below, and what the operator has running in it, stays. Where the server has gone, both are started.
    """
    if before is not None:
        command = shlex.join(["/usr/local/bin/start-claude", "--continue"])
        again = await _tmux(
            paths, environment, "respawn-pane", "-k", "-t", before.pane, "-c", str(folder), command,
            ";", "display-message", "-p", "-t", before.pane, _WHICH, check=False,
        )  # fmt: skip
        if again.code == 0:
            return _session(again)
    await end(paths)
    return await start(paths, environment, folder)


async def title(paths: Paths, session: Session) -> str:
    """The title of the agent's pane, "" where it cannot be told. The agent may have put anything there, of any length."""
    done = await system.run_async(
        ["sh", "-c", f'tmux -S "$1" display-message -p -t "$2" "#{{pane_title}}" | head -c {MOST_TITLE}', "sh",
         str(paths.tmux_socket), session.pane],
        identity=AGENT, timeout=3.0, check=False, most=MOST_TITLE,
    )  # fmt: skip
    return done.out.strip()


async def end(paths: Paths) -> None:
    """Ends the server and everything in it."""
    await _tmux(paths, system.BASE_ENVIRONMENT, "kill-server", check=False, seconds=5.0)


_WHICH = "#{pid} #{pane_pid} #{pane_id}"


def _prompt(paths: Paths) -> Path:
    return paths.tmux_socket.with_name("prompt")


def _session(done: Finished) -> Session:
    try:
        server, process, pane = done.out.split()[:3]
        return Session(int(server), int(process), pane)
    except ValueError as error:
        raise SystemFailure("cannot start the session: tmux does not say which it is") from error


async def _tmux(
    paths: Paths, environment: system.Environment, *arguments: str, check: bool = True, seconds: float = 30.0
) -> Finished:
    return await system.run_async(
        ["tmux", "-S", str(paths.tmux_socket), *arguments], identity=AGENT, environment=environment, check=check,
        timeout=seconds, most=MOST_ANSWER,
    )  # fmt: skip
