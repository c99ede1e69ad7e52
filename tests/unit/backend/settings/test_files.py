"""Values from files (NAME_FILE): valid files, their maximum size, and their permissions."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import pytest

from backend import settings
from backend.settings import SettingsError
from backend.system import AGENT, Identity
from tests.unit.backend.settings.test_environment import GOOD


def test_a_secret_can_be_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "pat").write_text("ghp_from_file\n")
    loaded = settings.load({"GH_PAT_FILE": str(tmp_path / "pat"), "ANTHROPIC_API_KEY": "key"})
    assert loaded.secrets.gh_pat == "ghp_from_file"
    with pytest.raises(SettingsError, match="cannot read"):
        settings.load({**GOOD, "ANTHROPIC_API_KEY_FILE": str(tmp_path / "none")})
    with pytest.raises(SettingsError, match="set twice"):
        settings.load({**GOOD, "GH_PAT_FILE": str(tmp_path / "pat")})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * ((4 << 20) + 1), "larger than 4 MiB"),
        (b"ab\0c", "not text (a NUL character at position 2)"),
        (b"ab\xffc", "not UTF-8 text (byte 2)"),
    ],
)
def test_invalid_files_are_errors(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "prompt"
    file.write_bytes(data)
    for read in (settings.load, settings.with_files_read):
        with pytest.raises(SettingsError) as caught:
            read({**GOOD, "CLAUDE_PROMPT_FILE": str(file)})
        assert caught.value.problems == (f"CLAUDE_PROMPT_FILE: cannot read {file}: {reason}",)


def test_a_large_file_is_read_completely(tmp_path: Path) -> None:
    text = "line\n" * ((4 << 20) // 5)
    (tmp_path / "prompt").write_text(text.replace("\n", "\r\n", 3))
    assert settings.load({**GOOD, "CLAUDE_PROMPT_FILE": str(tmp_path / "prompt")}).prompt == text.rstrip("\n")


def test_files_are_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("from a pipe\n",))
    writer.start()
    environment = settings.with_files_read(
        {**GOOD, "CLAUDE_PROMPT_FILE": str(pipe), "GIT_USER_NAME_FILE": "", "CODETAINER_X_FILE": "/none"}
    )
    writer.join()
    assert environment == {**GOOD, "CLAUDE_PROMPT": "from a pipe", "CODETAINER_X_FILE": "/none"}
    with pytest.raises(SettingsError, match="unknown setting CODETAINER_X_FILE"):
        settings.load(environment)


def test_a_secret_whose_file_the_agent_could_read_is_refused() -> None:
    me = Identity("me", os.getuid())  # without root the test can use no other identity
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is closed to other users
        Path(folder).chmod(0o755)
        file = Path(folder) / "pat"
        file.write_text("ghp_from_file")
        values = {"GH_PAT_FILE": str(file), "ANTHROPIC_API_KEY": "key", "CLAUDE_PROMPT_FILE": str(file)}
        file.chmod(0o444)
        with pytest.raises(SettingsError, match="GH_PAT_FILE: the agent could read") as caught:
            settings.load(values, hidden_from=AGENT if os.getuid() == 0 else me)
        assert len(caught.value.problems) == 1  # a prompt is not a secret
        settings.load(values)
        if os.getuid() == 0:
            file.chmod(0o400)
            assert settings.load(values, hidden_from=AGENT).secrets.gh_pat == "ghp_from_file"
            os.chown(file, AGENT.uid, AGENT.uid)
            with pytest.raises(SettingsError, match="the agent could read"):
                settings.load(values, hidden_from=AGENT)
