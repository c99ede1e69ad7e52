"""The environment: what is accepted, and that everything wrong is said at once, without a secret."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from backend import settings
from backend.settings import SettingsError
from backend.system import AGENT, Identity
from backend.variables import VARIABLES, Autosave, OnFailure, Save

GOOD = {"GH_PAT": "ghp_secret", "CLAUDE_CODE_OAUTH_TOKEN": "sk-secret"}


def test_defaults() -> None:
    found = settings.load(GOOD)
    assert (found.git_user_name, found.git_user_email) == ("codetainer", "codetainer@noreply.github.com")
    assert (found.tmpfs_workspace, found.tmpfs_home) == (512 << 20, 1 << 30)
    assert (found.refresh_seconds, found.lock_timeout, found.keep_seconds) == (300.0, 300.0, 14400.0)
    assert found.on_failure is OnFailure.HOLD
    assert found.upstreams == ()


def test_all_that_is_wrong_at_once_and_no_secret() -> None:
    wrong = {
        "GH_PAT": "two words", "REPO_URL": "https://user:pass@host/a/b", "CODETAINER_TMPFS_TMP": "lots",
        "CODETAINER_UPSTREAM": "dns.example", "CODETAINER_EXTRA_DOMAINS": "10.0.0.1", "CODETAINER_LOGIN": "shell",
        "GIT_USER_NAME": "a\nb", "CODETAINER_INBOUND_PORTS": "70000",
    }  # fmt: skip
    with pytest.raises(SettingsError) as caught:
        settings.load(wrong)
    said = str(caught.value)
    for name in (*wrong, "CLAUDE_CODE_OAUTH_TOKEN"):
        assert name in said
    assert "two words" not in said
    assert len(caught.value.problems) == len(wrong) + 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REPO_URL", "git@github.com:a/b"),
        ("REPO_URL", "http://github.com/a/b"),
        ("REPO_URL", "https://github.com/../b"),
        ("REPO_URL", "https://github.com/a/b --upload-pack=x"),
        ("CODETAINER_REFRESH", "-5m"),
        ("CODETAINER_REFRESH", "5 minutes"),
        ("CODETAINER_TMPFS_HOME", "0"),
        ("CODETAINER_UPSTREAM", "8.8.8.8:0"),
        ("CODETAINER_GATE", "maybe"),
        ("CODETAINER_CREDENTIALS", "somewhere"),
        ("CODETAINER_PUSH", "evil"),
        ("CODETAINER_PUSH", "a/b/c"),
        ("CODETAINER_MUCH_OUT", "-1"),
        ("CODETAINER_POPUP_KEY", "D; run evil"),
        ("CODETAINER_AUTOSAVE", "0"),
        ("CODETAINER_AUTOSAVE", "often"),
        ("GH_PAT", "ghp_with'a-quote"),
    ],
)
def test_values_that_are_refused(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        settings.load({**GOOD, variable: value})


def test_values_that_are_read() -> None:
    found = settings.load(
        {**GOOD, "REPO_URL": "https://github.com/owner/repo.git", "CODETAINER_UPSTREAM": "203.0.113.1, tls://203.0.113.2#dns.example",
         "CODETAINER_TMPFS_TMP": "2g", "CODETAINER_REFRESH": "90s", "CODETAINER_INBOUND_PORTS": "8080 9090"}
    )  # fmt: skip
    assert found.repository == "owner/repo"
    assert found.upstreams == ("203.0.113.1", "tls://203.0.113.2#dns.example")
    assert (found.tmpfs_tmp, found.refresh_seconds, found.inbound_ports) == (2 << 30, 90.0, (8080, 9090))


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "pat").write_text("ghp_from_file\n")
    found = settings.load({"GH_PAT_FILE": str(tmp_path / "pat"), "ANTHROPIC_API_KEY": "key"})
    assert found.secrets.gh_pat == "ghp_from_file"
    with pytest.raises(SettingsError, match="cannot read"):
        settings.load({**GOOD, "ANTHROPIC_API_KEY_FILE": str(tmp_path / "none")})
    with pytest.raises(SettingsError, match="set twice"):
        settings.load({**GOOD, "GH_PAT_FILE": str(tmp_path / "pat")})


def test_a_secret_whose_file_the_agent_could_read_is_refused() -> None:
    me = Identity("me", os.getuid())  # without root nobody else can be tried
    with tempfile.TemporaryDirectory() as folder:  # that of tmp_path lets nobody in
        Path(folder).chmod(0o755)
        file = Path(folder) / "pat"
        file.write_text("ghp_from_file")
        given = {"GH_PAT_FILE": str(file), "ANTHROPIC_API_KEY": "key", "CLAUDE_PROMPT_FILE": str(file)}
        file.chmod(0o444)
        with pytest.raises(SettingsError, match="GH_PAT_FILE: the agent could read") as caught:
            settings.load(given, hidden_from=AGENT if os.getuid() == 0 else me)
        assert len(caught.value.problems) == 1  # a prompt is no secret
        settings.load(given)
        if os.getuid() == 0:
            file.chmod(0o400)
            assert settings.load(given, hidden_from=AGENT).secrets.gh_pat == "ghp_from_file"
            os.chown(file, AGENT.uid, AGENT.uid)
            with pytest.raises(SettingsError, match="the agent could read"):
                settings.load(given, hidden_from=AGENT)


def test_nothing_shows_a_secret() -> None:
    assert all(value not in repr(settings.load(GOOD)) for value in GOOD.values())


def test_only_our_variables_are_handed_on() -> None:
    given = {"GH_PAT": "x", "GH_PAT_FILE": "y"}
    assert settings.variables({**given, "PATH": "z", "AWS_SECRET": "w"}) == given


def test_every_variable_has_a_meaning_and_an_expectation() -> None:
    for variable in VARIABLES:
        assert variable.meaning
        assert variable.expected or variable.default is not None


OWN = """
[[credential]]
variable = "FORGE_TOKEN"
header = "private-token"

[[host]]
name = "forge.example"
credentials = ["FORGE_TOKEN"]
writes = ["POST /api/**"]

[[host]]
name = "github.enterprise.example"
credentials = ["GH_PAT"]
"""


def test_the_operators_own_credentials(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    file.write_text(OWN)
    found = settings.load({**GOOD, "FORGE_TOKEN": "real-one"}, file)
    assert found.secrets.by_variable["FORGE_TOKEN"] == "real-one"
    assert found.own_secrets == {"FORGE_TOKEN": "codetainer-holds-FORGE_TOKEN"}
    assert {host.name for host in found.hosts} >= {"github.com", "forge.example", "github.enterprise.example"}
    assert settings.variables({"FORGE_TOKEN": "x", "OTHER": "y"}, file) == {"FORGE_TOKEN": "x"}
    assert settings.variables({"FORGE_TOKEN": "x"}) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("what is this", "credentials.toml"),
        (OWN.replace("FORGE_TOKEN", "CODETAINER_PUSH"), "means something else"),
        (OWN.replace("FORGE_TOKEN", "LD_PRELOAD"), "means something else"),
        (OWN.replace('header = "private-token"', ""), "header is missing"),
    ],
)
def test_a_file_of_credentials_that_is_wrong_is_a_setting_that_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "credentials.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=words):
        settings.load(GOOD, file)


def test_a_credential_of_the_operators_own_is_in_no_message(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    file.write_text(OWN)
    with pytest.raises(SettingsError, match="FORGE_TOKEN") as caught:
        settings.load({**GOOD, "FORGE_TOKEN": "two words"}, file)
    assert "two words" not in str(caught.value)


def test_when_work_is_saved() -> None:
    repository = {**GOOD, "REPO_URL": "https://github.com/a/b"}
    assert settings.load(GOOD).autosave.when is Save.OFF
    assert settings.load({**repository, "CODETAINER_AUTOSAVE": "exit"}).autosave.when is Save.EXIT
    assert settings.load({**repository, "CODETAINER_AUTOSAVE": "10m"}).autosave == Autosave(Save.REGULARLY, 600.0)
    with pytest.raises(SettingsError, match="set REPO_URL too"):
        settings.load({**GOOD, "CODETAINER_AUTOSAVE": "10m"})


def test_what_is_no_setting_is_not_passed_over() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({**GOOD, "CODETAINER_AUTOSVAE": "exit", "CODETAINER_GATE_FLIE": "x", "OTHER": "y"})
    assert caught.value.problems == (
        "CODETAINER_AUTOSVAE: there is no such setting; CODETAINER_AUTOSAVE is one",
        "CODETAINER_GATE_FLIE: there is no such setting; CODETAINER_GATE_FILE is one",
    )
    assert "CODETAINER_AUTOSVAE" in settings.variables({"CODETAINER_AUTOSVAE": "exit"})  # `up` hands it on, to be told of it
