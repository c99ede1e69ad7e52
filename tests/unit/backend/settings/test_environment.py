"""The environment: accepted values, and all errors reported at once, without secrets."""

from __future__ import annotations

import base64
from dataclasses import fields
from pathlib import Path

import pytest

from backend import settings
from backend.settings import VARIABLES, SettingsError
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
    ReportTime,
    Resume,
    Save,
    Seccomp,
    Where,
)  # fmt: skip
from network.firewall.ruleset import Listener
from network.gate.budget import Kind, Limit
from network.gate.references import References
from network.service_addresses import parse

GOOD = {"GH_PAT": "ghp_secret", "CLAUDE_CODE_OAUTH_TOKEN": "sk-secret"}
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def test_defaults() -> None:
    loaded = settings.load(GOOD)
    assert (loaded.git_user_name, loaded.git_user_email) == ("codetainer", "codetainer@noreply.github.com")
    assert (loaded.tmpfs_workspace, loaded.tmpfs_home) == (512 << 20, 1 << 30)
    assert (loaded.refresh_seconds, loaded.lock_timeout, loaded.keep_seconds) == (300.0, 300.0, 14400.0)
    assert loaded.on_failure is OnFailure.HOLD
    assert loaded.upstreams == ()


def test_all_errors_are_reported_at_once_and_without_secrets() -> None:
    wrong = {
        "GH_PAT": "two words", "REPO_URL": "https://user:pass@host/a/b", "CODETAINER_TMPFS_TMP": "lots",
        "CODETAINER_UPSTREAM": "dns.example", "CODETAINER_EXTRA_DOMAINS": "10.0.0.1", "CODETAINER_LOGIN": "shell",
        "GIT_USER_NAME": "a\nb", "CODETAINER_INBOUND_PORTS": "70000",
    }  # fmt: skip
    with pytest.raises(SettingsError) as caught:
        settings.load(wrong)
    message = str(caught.value)
    for name in (*wrong, "CLAUDE_CODE_OAUTH_TOKEN"):
        assert name in message
    assert "two words" not in message
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
        ("CODETAINER_BUDGET", "much"),
        ("CODETAINER_MODEL_TOOLS", "web-search"),
        ("CODETAINER_REFERENCES", "maybe"),
        ("CODETAINER_PUSH", "a/b/c"),
        ("CODETAINER_MUCH_OUT", "-1"),
        ("CODETAINER_POPUP_KEY", "D; run evil"),
        ("CODETAINER_AUTOSAVE", "0"),
        ("CODETAINER_AUTOSAVE", "often"),
        ("CODETAINER_REPORT", "24:00"),
        ("CODETAINER_REPORT", "end"),  # without CODETAINER_NOTIFY
        ("GH_PAT", "ghp_with'a-quote"),
    ],
)
def test_invalid_values_are_refused(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        settings.load({**GOOD, variable: value})


def test_valid_values_are_converted() -> None:
    loaded = settings.load(
        {**GOOD, "REPO_URL": "https://github.com/owner/repo.git", "CODETAINER_UPSTREAM": "203.0.113.1, tls://203.0.113.2#dns.example",
         "CODETAINER_TMPFS_TMP": "2g", "CODETAINER_REFRESH": "90s", "CODETAINER_INBOUND_PORTS": "8080 9090"}
    )  # fmt: skip
    assert loaded.repository == "owner/repo"
    assert loaded.upstreams == ("203.0.113.1", "tls://203.0.113.2#dns.example")
    assert (loaded.tmpfs_tmp, loaded.refresh_seconds, loaded.inbound_ports) == (2 << 30, 90.0, (8080, 9090))


def test_many_problems_are_counted() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({**GOOD, "CODETAINER_SSH_KEYS": "no key\n" * 100})
    assert len(caught.value.problems) == 100
    assert len(str(caught.value).splitlines()) == 42
    assert str(caught.value).endswith("\n  and 60 more")


def test_repr_shows_no_secret() -> None:
    assert all(value not in repr(settings.load(GOOD)) for value in GOOD.values())


def test_values_to_redact_from_logs() -> None:
    """With credentials inside the agent has the whole text of a header, so the text counts as a secret, like its parts."""
    headers = "x-key=top%2Fsecret,Authorization=Basic " + base64.b64encode(b"user:pass-word").decode()
    telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com", "OTEL_EXPORTER_OTLP_HEADERS": headers}
    for where in ("inside", "outside"):
        secrets = settings.load({**GOOD, **telemetry, "CODETAINER_CREDENTIALS": where}).secret_values
        values = {value for _, value in secrets}
        assert {*GOOD.values(), headers, "top%2Fsecret", "top/secret", "pass-word"} <= values
        assert all(len(value) >= 4 for value in values)
        assert ("GH_PAT", GOOD["GH_PAT"]) in secrets


def test_only_settings_are_passed_on() -> None:
    ours = {"GH_PAT": "x", "GH_PAT_FILE": "y"}
    assert settings.variables({**ours, "PATH": "z", "AWS_SECRET": "w"}) == ours


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
    loaded = settings.load({**GOOD, "FORGE_TOKEN": "real-one"}, file)
    assert loaded.secrets.by_variable["FORGE_TOKEN"] == "real-one"
    assert loaded.own_secrets == {"FORGE_TOKEN": "codetainer-holds-FORGE_TOKEN"}
    assert {host.name for host in loaded.hosts} >= {"github.com", "forge.example", "github.enterprise.example"}
    assert settings.variables({"FORGE_TOKEN": "x", "OTHER": "y"}, file) == {"FORGE_TOKEN": "x"}
    assert settings.variables({"FORGE_TOKEN": "x"}) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("what is this", "credentials.toml"),
        (OWN.replace("FORGE_TOKEN", "CODETAINER_PUSH"), "is reserved"),
        (OWN.replace("FORGE_TOKEN", "LD_PRELOAD"), "is reserved"),
        (OWN.replace('header = "private-token"', ""), "header is missing"),
    ],
)
def test_errors_in_the_credentials_file_are_reported_as_settings(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "credentials.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=words):
        settings.load(GOOD, file)


def test_no_message_shows_one_of_the_operators_own_credentials(tmp_path: Path) -> None:
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
    with pytest.raises(SettingsError, match="set REPO_URL, too"):
        settings.load({**GOOD, "CODETAINER_AUTOSAVE": "10m"})


def test_unknown_settings_are_errors() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({**GOOD, "CODETAINER_AUTOSVAE": "exit", "CODETAINER_GATE_FLIE": "x", "OTHER": "y"})
    assert caught.value.problems == (
        "unknown setting CODETAINER_AUTOSVAE; did you mean CODETAINER_AUTOSAVE?",
        "unknown setting CODETAINER_GATE_FLIE; did you mean CODETAINER_GATE_FILE?",
    )
    assert "CODETAINER_AUTOSVAE" in settings.variables({"CODETAINER_AUTOSVAE": "exit"})  # `up` passes it on, to boot's check


# By variable: its field, a text that no other variable gets, and the value that the field must then have.
SENTINELS = {
    "REPO_URL": ("repo_url", "https://github.com/sentinel/repo", "https://github.com/sentinel/repo"),
    "CLAUDE_PROMPT": ("prompt", "sentinel prompt", "sentinel prompt"),
    "CODETAINER_NAME": ("name", "sentinel-sandbox", "sentinel-sandbox"),
    "GIT_USER_NAME": ("git_user_name", "sentinel name", "sentinel name"),
    "GIT_USER_EMAIL": ("git_user_email", "sentinel@example.test", "sentinel@example.test"),
    "CODETAINER_EXTRA_DOMAINS": ("extra_domains", "sentinel.test", "sentinel.test"),
    "CODETAINER_UPSTREAM": ("upstreams", "192.0.2.77", ("192.0.2.77",)),
    "CODETAINER_TMPFS_WORKSPACE": ("tmpfs_workspace", "11M", 11 << 20),
    "CODETAINER_TMPFS_TMP": ("tmpfs_tmp", "12M", 12 << 20),
    "CODETAINER_TMPFS_HOME": ("tmpfs_home", "13M", 13 << 20),
    "CODETAINER_REFRESH": ("refresh_seconds", "101s", 101.0),
    "CODETAINER_KEEP": ("keep_seconds", "102s", 102.0),
    "CODETAINER_PROOF": ("proof_seconds", "103s", 103.0),
    "CODETAINER_INBOUND_PORTS": ("inbound_ports", "3001 3002", (3001, 3002)),
    "CODETAINER_SSH_KEYS": ("ssh_keys", ED25519, (ED25519,)),
    "CODETAINER_SSH_PORT": ("ssh_port", "2201", 2201),
    "CODETAINER_METRICS": ("metrics", "192.0.2.78:9401", Listener("192.0.2.78", 9401)),
    "CODETAINER_GATE": ("gate", "off", GateMode.OFF),
    "CODETAINER_CREDENTIALS": ("credentials", "inside", Where.INSIDE),
    "CODETAINER_SECCOMP": ("seccomp", "off", Seccomp.OFF),
    "CODETAINER_CLAUDE_OVERRIDE": ("claude_override", "on", Override.ON),
    "CODETAINER_RESUME": ("resume", "off", Resume.OFF),
    "CODETAINER_STUCK": ("stuck_seconds", "47m", 2820.0),
    "CODETAINER_PUSH": ("push", "sentinel/other", ("sentinel/other",)),
    "CODETAINER_REFERENCES": ("references", "pass", References.PASS),  # contradicts other values here
    "CODETAINER_MODEL_TOOLS": ("model_tools", "web_search, mcp", ("web_search", "mcp")),
    "CODETAINER_BUDGET": ("budget", "calls=7/h", (Limit(Kind.CALLS, 7.0, hourly=True),)),
    "CODETAINER_NOTIFY": ("notify", "ntfys://sentinel-topic", parse("ntfys://sentinel-topic")),
    "CODETAINER_NOTIFY_TEXT": ("notify_text", "on", NotifyText.ON),
    "CODETAINER_REPORT": ("report", "06:31", ReportTime(True, 23460.0)),
    "CODETAINER_CERTIFICATES": ("certificate_seconds", "104s", 104.0),
    "CODETAINER_MUCH_OUT": ("much_out", "14M", 14 << 20),
    "CODETAINER_AUTOSAVE": ("autosave", "105s", Autosave(Save.REGULARLY, 105.0)),
    "CODETAINER_STATE": ("state", "/volume/state/", "/volume/state"),
    "CODETAINER_STATE_INTERVAL": ("state_seconds", "108s", 108.0),
    "CODETAINER_GRACE": ("grace_seconds", "106s", 106.0),
    "CODETAINER_ON_FAILURE": ("on_failure", "exit", OnFailure.EXIT),
    "CODETAINER_LOGIN": ("login", "dashboard", Login.DASHBOARD),
    "CODETAINER_POPUP_KEY": ("popup_key", "Q", "Q"),
    "CODETAINER_LOCK_TIMEOUT": ("lock_timeout", "107s", 107.0),
    "CODETAINER_LOG_FORMAT": ("log_format", "json", LogFormat.JSON),
    "CODETAINER_DEBUG": ("debug", "on", Debug.ON),
    "CODETAINER_PRETEND": ("pretend", "on", Pretend.ON),
    "CODETAINER_LEARN": ("learn", "off", Learn.OFF),  # contradicts other values here
}
SECRETS = {
    "GH_PAT": ("gh_pat", "ghp_sentinel"),
    "CLAUDE_CODE_OAUTH_TOKEN": ("oauth_token", "sk-sentinel-oauth"),
    "ANTHROPIC_API_KEY": ("api_key", "sk-sentinel-key"),
}


def test_every_variable_reaches_its_own_field() -> None:
    """Fails if two settings are swapped, in their declarations or anywhere before `Settings`."""
    assert {variable.name for variable in VARIABLES} == SENTINELS.keys() | SECRETS.keys()
    texts = [text for _, text, _ in SENTINELS.values() if text not in ("on", "off")]  # switches share these words
    assert len(set(texts)) == len(texts)
    loaded = settings.load(
        {name: text for name, (_, text, _) in SENTINELS.items()} | {name: text for name, (_, text) in SECRETS.items()}
    )
    assert {name: getattr(loaded, field) for name, (field, _, _) in SENTINELS.items()} == {
        name: value for name, (_, _, value) in SENTINELS.items()
    }
    assert [getattr(loaded.secrets, field) for field, _ in SECRETS.values()] == [text for _, text in SECRETS.values()]


@pytest.mark.parametrize("other", [{"CODETAINER_GATE": "off"}, {"CODETAINER_CREDENTIALS": "inside"}])
def test_references_are_refused_only_by_the_gate(other: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="CODETAINER_REFERENCES: only the gate reads requests to GitHub"):
        settings.load({**GOOD, "CODETAINER_REFERENCES": "refuse", **other})


def test_each_switch_reaches_its_own_field() -> None:
    """Switches share the words `on` and `off`, so each is tried alone."""
    switches = (
        ("CODETAINER_GATE", "gate", GateMode.OFF),
        ("CODETAINER_SECCOMP", "seccomp", Seccomp.OFF),
        ("CODETAINER_CLAUDE_OVERRIDE", "claude_override", Override.ON),
        ("CODETAINER_RESUME", "resume", Resume.OFF),
        ("CODETAINER_NOTIFY_TEXT", "notify_text", NotifyText.ON),
        ("CODETAINER_DEBUG", "debug", Debug.ON),
        ("CODETAINER_PRETEND", "pretend", Pretend.ON),
        ("CODETAINER_LEARN", "learn", Learn.ON),
        ("CODETAINER_REFERENCES", "references", References.REFUSE),
    )
    for name, field, value in switches:
        defaults, loaded = settings.load(GOOD), settings.load({**GOOD, name: str(value)})
        changed = [each.name for each in fields(loaded) if getattr(loaded, each.name) != getattr(defaults, each.name)]
        assert (changed, getattr(loaded, field)) == ([field], value)
