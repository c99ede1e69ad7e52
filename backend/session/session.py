"""The Claude session: a tmux server of the agent's own, Claude Code above, a shell below."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from backend import system
from backend.agent import agent
from backend.agent.session import Session
from backend.contract.paths import AGENT_UID, Paths
from backend.system import SystemFailure

if TYPE_CHECKING:
    from backend.session.server import Answer, Server

NAME = "claude"
MAX_ARGUMENT = 120_000  # bytes of a prompt that is passed as an argument; the kernel takes 128 KiB (execve(2))
LONG_PROMPT = "Your task is in the file {file} ({size} bytes). Read the whole file in parts, then do what it says."
ROOM = 1 << 20  # bytes for socket and prompt
MAX_TITLE = 200  # columns of a pane's title
TITLE_SECONDS = 3.0
END_SECONDS = 5.0

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
    """Writes the prompt for the session's first command, which reads it once; returns its SHA-256, which may be logged.

    A prompt that is too long for one argument of a program is kept in the agent's home, and Claude is told to read it there.
    """
    data = prompt.encode()
    if len(data) > MAX_ARGUMENT:
        file = paths.home / "prompt.md"
        agent.write(file, prompt, 0o600)
        prompt = LONG_PROMPT.format(file=file, size=len(data))
    agent.write(_prompt(paths), prompt, 0o600)  # as the agent: the folder is its own, and may hold anything
    return hashlib.sha256(data).hexdigest()


def folder(paths: Paths) -> Path:
    """Where the session begins: in the repository, where there is one."""
    with contextlib.suppress(OSError):  # the agent may close its folders to root, which has no CAP_DAC_OVERRIDE in a container
        if paths.repository.is_dir():
            return paths.repository
    return paths.workspace


def preload() -> None:
    """Imports libtmux (about 40 ms) ahead of time, so that the session does not wait for it."""
    importlib.import_module("backend.session.server")


async def start(paths: Paths, environment: dict[str, str], folder: Path) -> Session:
    """Starts the server with both panes. One command line does it all: 16 processes fewer. Raises SystemFailure."""
    command = shlex.join(["/usr/local/bin/start-claude", str(_prompt(paths))])
    answer = await _server(paths, environment).perform(
        lambda tmux: tmux.cmd(
            "new-session", "-d", "-P", "-F", _WHICH, "-s", NAME, "-x", "200", "-y", "50", "-c", str(folder), command,
            ";", "set-option", "-p", "remain-on-exit", "on",
            ";", "split-window", "-v", "-l", "20%", "-c", str(folder), "-t", f"={NAME}:",
            ";", "select-pane", "-t", f"={NAME}:.0",
        )
    )  # fmt: skip
    return _session(answer)


async def restart(paths: Paths, environment: dict[str, str], folder: Path, before: Session | None) -> Session:
    """Starts Claude again, in its pane where that is still there; the conversation goes on. Raises SystemFailure.

    The shell below, and what the operator has running in it, stays. Where the server has gone, both are started.
    """
    if before is not None:
        command = shlex.join(["/usr/local/bin/start-claude", "--continue"])
        again = await _server(paths, environment).perform(
            lambda tmux: tmux.cmd(
                "respawn-pane", "-k", "-c", str(folder), command, ";", "display-message", "-p", "-t", before.pane, _WHICH,
                target=before.pane,
            )
        )  # fmt: skip
        if again.returncode == 0:
            return _session(again)
    await end(paths)
    return await start(paths, environment, folder)


async def title(paths: Paths, session: Session) -> str:
    """The title of the agent's pane; "" if tmux does not answer with one. The agent controls its text. Raises SystemFailure."""
    answer = await _server(paths).perform(
        lambda tmux: tmux.cmd("display-message", "-p", f"#{{={MAX_TITLE}:pane_title}}", target=session.pane),
        TITLE_SECONDS,
    )
    return answer.stdout[0].strip()[:MAX_TITLE] if answer.stdout else ""


async def end(paths: Paths) -> None:
    """Ends the server, if there is one, with everything in it. Raises SystemFailure if tmux hangs."""
    await _server(paths).perform(lambda tmux: tmux.cmd("kill-server"), END_SECONDS)


_WHICH = "#{pid} #{pane_pid} #{pane_id}"
_ANSWERED = re.compile(r"([1-9]\d{0,9}) ([1-9]\d{0,9}) (%\d{1,10})", re.ASCII)


def _prompt(paths: Paths) -> Path:
    return paths.tmux_socket.with_name("prompt")


def _server(paths: Paths, environment: system.Environment = system.BASE_ENVIRONMENT) -> Server:
    from backend.session.server import Server  # late: see `preload`

    return Server(paths, environment)


def _session(answer: Answer) -> Session:
    if answer.returncode != 0:
        raise SystemFailure(f"cannot start the session: {answer.reason}")
    which = _ANSWERED.fullmatch("\n".join(answer.stdout))
    if which is None:  # the agent may have put a tmux of its own first in its PATH
        raise SystemFailure("cannot start the session: tmux answers with something else than process and pane ids")
    return Session(int(which[1]), int(which[2]), which[3])
