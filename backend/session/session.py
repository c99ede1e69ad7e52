"""The Claude session: a tmux server that runs as the agent, with Claude Code in the upper pane and a shell in the lower."""

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
from backend.session.beginning import Answer, cleaned
from backend.session.prompt import Look, is_busy
from backend.system import SystemFailure
from backend.tmpfs import limits

if TYPE_CHECKING:
    from backend.session import server

NAME = "claude"
MAX_ARGUMENT = 120_000  # bytes of a prompt that is passed as an argument; the kernel accepts up to 128 KiB (execve(2))
LONG_PROMPT = "Your task is in the file {file} ({size} bytes). Read the whole file in parts, then do what it says."
FOLDER_SIZE = 1 << 20  # bytes for socket and prompt
MAX_TITLE = 200  # columns of a pane's title
MAX_SCREEN = 64 << 10  # bytes
TITLE_SECONDS = 3.0
END_SECONDS = 5.0

CONFIGURATION = Path(__file__).with_name("tmux.conf")


def prepare(paths: Paths, popup_key: str) -> None:
    """Makes the server's folder (owned by the agent, mode 0711) and its configuration (owned by root). Raises SystemFailure.

    The folder is a tmpfs of its own, so filling it cannot leave the journal without space.
    """
    folder = paths.tmux_socket.parent
    folder.mkdir(mode=0o711, exist_ok=True)
    if not folder.is_mount():  # 0711: at a login, root looks for the socket and has no CAP_DAC_OVERRIDE
        options = f"nosuid,nodev,noexec,{limits(FOLDER_SIZE)},mode=0711,uid={AGENT_UID},gid={AGENT_UID}"
        system.mount("tmpfs", folder, source="tmpfs", options=options)
    system.write(paths.tmux_config, CONFIGURATION.read_text().replace("{popup_key}", popup_key))


def keep_prompt(paths: Paths, prompt: str) -> str:
    """Writes the prompt to the file that start-claude reads and deletes. Returns its SHA-256, which may be logged.

    A prompt that is too long for a program's argument goes into the agent's home, and Claude gets the task to read it there.
    """
    data = prompt.encode()
    if len(data) > MAX_ARGUMENT:
        file = paths.home / "prompt.md"
        agent.write(file, prompt, 0o600)
        prompt = LONG_PROMPT.format(file=file, size=len(data))
    agent.write(_prompt(paths), prompt, 0o600)  # as the agent, which owns the folder and may have put links there
    return hashlib.sha256(data).hexdigest()


def folder(paths: Paths) -> Path:
    """The folder in which the session starts: the repository if there is one, else the workspace."""
    with contextlib.suppress(OSError):  # the agent can lock root out: in a container root has no CAP_DAC_OVERRIDE
        if paths.repository.is_dir():
            return paths.repository
    return paths.workspace


def preload() -> None:
    """Imports libtmux ahead of time, which takes about 40 ms, so that the session starts faster."""
    importlib.import_module("backend.session.server")


async def start(paths: Paths, environment: dict[str, str], folder: Path, *, continues: bool = False) -> Session:
    """Starts the server with both panes. Raises SystemFailure. Doing it in one tmux command line saves 16 processes.

    If it `continues`, Claude continues the folder's conversation, with the prompt if there is one (`keep_prompt`).
    """
    command = shlex.join(["/usr/local/bin/start-claude", *(["--continue"] if continues else []), str(_prompt(paths))])
    answer = await _server(paths, environment).perform(
        lambda tmux: tmux.cmd(
            "new-session", "-d", "-P", "-F", _WHICH, "-s", NAME, "-x", "200", "-y", "50", "-c", str(folder), command,
            ";", "set-option", "-p", "remain-on-exit", "on",
            ";", "split-window", "-v", "-l", "20%", "-c", str(folder), "-t", f"={NAME}:",
            ";", "select-pane", "-t", f"={NAME}:.0",
        )
    )  # fmt: skip
    return _session(answer)


async def restart(paths: Paths, environment: dict[str, str], folder: Path, before: Session | None, prompt: str = "") -> Session:
    """Restarts Claude in its pane and continues the conversation, or begins with `prompt`. Raises SystemFailure.

    The shell in the lower pane keeps running. If the pane or the server is gone, starts a new server with both panes.
    """
    if prompt:
        keep_prompt(paths, prompt)
    if before is not None:
        command = shlex.join(["/usr/local/bin/start-claude", str(_prompt(paths)) if prompt else "--continue"])
        answer = await _server(paths, environment).perform(
            lambda tmux: tmux.cmd(
                "respawn-pane", "-k", "-c", str(folder), command, ";", "display-message", "-p", "-t", before.pane, _WHICH,
                target=before.pane,
            )
        )  # fmt: skip
        if answer.returncode == 0:
            return _session(answer)
    await end(paths)
    return await start(paths, environment, folder)


async def glance(paths: Paths, session: Session) -> tuple[str, bool]:
    """The title of the agent's pane, "" if tmux returns none, and whether Claude says there that it works.

    The agent controls both. Raises SystemFailure.
    """
    answer = await _server(paths).perform(
        lambda tmux: tmux.cmd(
            "display-message", "-p", f"#{{={MAX_TITLE}:pane_title}}", ";", "capture-pane", "-p", "-t", session.pane,
            target=session.pane,
        ),
        TITLE_SECONDS, MAX_SCREEN,
    )  # fmt: skip
    title, *lines = answer.stdout or [""]
    return title.strip()[:MAX_TITLE], is_busy(lines)


async def screen(paths: Paths, session: Session) -> tuple[str, ...]:
    """The lines on the agent's pane that say something. The agent controls the text. Raises SystemFailure."""
    answer = await _server(paths).perform(
        lambda tmux: tmux.cmd("capture-pane", "-p", target=session.pane), TITLE_SECONDS, MAX_SCREEN
    )
    return cleaned("\n".join(answer.stdout))


async def look(paths: Paths, session: Session) -> Look:
    """A look at the agent's pane with its colours and cursor. The agent controls all of it. Raises SystemFailure."""
    answer = await _server(paths).perform(
        lambda tmux: tmux.cmd(
            "display-message", "-p", _LOOK, ";", "capture-pane", "-e", "-p", "-t", session.pane, target=session.pane
        ),
        TITLE_SECONDS, 2 * MAX_SCREEN,
    )  # fmt: skip
    numbers = _LOOKED.fullmatch(answer.stdout[0]) if answer.stdout else None
    if answer.returncode != 0 or numbers is None:
        raise SystemFailure("cannot look at the session: tmux did not answer as expected")
    mode, column, row, activity, attached = map(int, numbers.groups())
    return Look(tuple(answer.stdout[1:]), (column, row), activity if attached else 0, bool(mode), answer.stdout[0])


async def type_if_unchanged(paths: Paths, session: Session, seen: Look, text: str, *, enter: bool) -> None:
    """Types a text unless somebody has typed, or the cursor has moved, since `seen`; tmux checks that itself.

    Raises SystemFailure.
    """
    keys = shlex.join(["send-keys", "-l", "-t", session.pane, text])
    if enter:
        keys += f" ; {shlex.join(['send-keys', '-t', session.pane, 'Enter'])}"
    await _server(paths).perform(
        lambda tmux: tmux.cmd("if-shell", "-F", "-t", session.pane, f"#{{==:{_LOOK},{seen.numbers}}}", keys), TITLE_SECONDS
    )


async def reply(paths: Paths, session: Session, answer: Answer) -> None:
    """Types an answer if its question is still on the agent's pane; tmux checks that itself. Raises SystemFailure."""
    keys = shlex.join(["send-keys", "-t", session.pane, answer.key])
    await _server(paths).perform(
        lambda tmux: tmux.cmd("if-shell", "-F", "-t", session.pane, f"#{{C:{answer.title}}}", keys), TITLE_SECONDS
    )


async def end(paths: Paths) -> None:
    """Ends the server, if it is running, with all its panes. Raises SystemFailure if tmux hangs."""
    await _server(paths).perform(lambda tmux: tmux.cmd("kill-server"), END_SECONDS)


_WHICH = "#{pid} #{pane_pid} #{pane_id}"
_LOOK = "#{pane_in_mode} #{cursor_x} #{cursor_y} #{session_activity} #{session_attached}"
_LOOKED = re.compile(r"(\d{1,3}) (\d{1,4}) (\d{1,4}) (\d{1,12}) (\d{1,4})", re.ASCII)
_ANSWERED = re.compile(r"([1-9]\d{0,9}) ([1-9]\d{0,9}) (%\d{1,10})", re.ASCII)


def _prompt(paths: Paths) -> Path:
    return paths.tmux_socket.with_name("prompt")


def _server(paths: Paths, environment: system.Environment = system.BASE_ENVIRONMENT) -> server.Server:
    from backend.session.server import Server  # not at the top: see `preload`

    return Server(paths, environment)


def _session(answer: server.Answer) -> Session:
    if answer.returncode != 0:
        raise SystemFailure(f"cannot start the session: {answer.reason}")
    which = _ANSWERED.fullmatch("\n".join(answer.stdout))
    if which is None:  # the agent may have put a tmux of its own first in its PATH
        raise SystemFailure("cannot start the session: tmux did not answer with process and pane ids")
    return Session(int(which[1]), int(which[2]), which[3])
