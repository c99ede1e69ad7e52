from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network import telemetry
from network.problems import Problems
from network.telemetry import Telemetry

ENDPOINT = {"CLAUDE_CODE_ENABLE_TELEMETRY": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com"}
KEY = "OTEL_EXPORTER_OTLP_HEADERS"


def read(**more: str) -> Telemetry:
    return telemetry.read({**ENDPOINT, **more, "HOME": "/root"}, outside=True)


def test_nothing_is_opened_without_telemetry_variables() -> None:
    assert telemetry.read({"PATH": "/bin"}, outside=True) == Telemetry()


def test_the_agent_gets_the_variables_and_the_host_is_opened() -> None:
    result = read(OTEL_METRICS_EXPORTER="otlp", OTEL_LOGS_EXPORTER="")
    assert result.for_agent(outside=True) == {**ENDPOINT, "OTEL_METRICS_EXPORTER": "otlp"}
    assert (result.entries, result.hosts, result.secrets) == (("otel.example.com:443",), (), {})


@pytest.mark.parametrize(
    ("endpoint", "entry"),
    [
        ("http://otel.example.com", "otel.example.com:80"),
        ("http://otel.example.com:4318", "otel.example.com:4318/http"),
        ("https://otel.example.com:4317/x", "otel.example.com:4317/tls"),
        ("https://OTEL.example.com.", "otel.example.com:443"),
    ],
)
def test_ports(endpoint: str, entry: str) -> None:
    assert read(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint).entries == (entry,)


def test_headers_stay_outside() -> None:
    result = read(**{KEY: "Authorization=Bearer%20s3cret,x-team=t3am"})
    assert sorted(result.secrets.values()) == ["s3cret", "t3am"]
    for_agent = result.for_agent(outside=True)[KEY]
    assert "s3cret" not in for_agent
    assert "t3am" not in for_agent
    assert for_agent.startswith("authorization=Bearer codetainer-holds-")
    (host,) = result.hosts
    assert host.name == "otel.example.com"
    assert host.writes == ("POST /v1/metrics", "POST /v1/logs", "POST /v1/traces")
    assert {c.header for c in host.credentials} == {"authorization", "x-team"}
    assert {c.placeholder in for_agent for c in host.credentials} == {True}
    assert "s3cret" not in repr(result)


def test_basic_keeps_its_login() -> None:
    result = read(**{KEY: "authorization=Basic%20" + base64.b64encode(b"4711:s3cret").decode().replace("=", "%3D")})
    (credential,) = result.hosts[0].credentials
    assert (credential.login, result.secrets[credential.variable]) == ("4711", "s3cret")
    shown = result.placeholders[KEY].removeprefix("authorization=Basic ")
    assert base64.b64decode(shown).decode() == f"4711:{credential.placeholder}"


def test_a_token_keeps_its_scheme() -> None:
    result = read(**{KEY: "authorization=token%20s3cret"})
    assert result.placeholders[KEY].startswith("authorization=token codetainer-holds-")
    assert list(result.secrets.values()) == ["s3cret"]


def test_with_credentials_inside_the_agent_gets_the_headers() -> None:
    result = telemetry.read({**ENDPOINT, KEY: "x-team=t3am"}, outside=False)
    assert result.for_agent(outside=False)[KEY] == "x-team=t3am"
    assert result.hosts == ()


def test_a_signal_with_its_own_endpoint() -> None:
    result = read(
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="https://logs.example.org/in/logs", OTEL_EXPORTER_OTLP_LOGS_HEADERS="x-key=l0gs"
    )
    assert result.entries == ("otel.example.com:443", "logs.example.org:443")
    (host,) = result.hosts
    assert (host.name, host.writes) == ("logs.example.org", ("POST /in/logs",))


@pytest.mark.parametrize(
    ("variable", "endpoint", "writes"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.com/in/",
         ("POST /in/v1/metrics", "POST /in/v1/logs", "POST /in/v1/traces")),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://otel.example.com", ("POST /",)),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://otel.example.com/in/", ("POST /in/",)),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://otel.example.com/t", ("POST /t",)),
    ],
)  # fmt: skip
def test_permitted_paths_of_an_endpoint(variable: str, endpoint: str, writes: tuple[str, ...]) -> None:
    result = telemetry.read({variable: endpoint, KEY: "x-key=v4lue"}, outside=True)
    assert result.entries == ("otel.example.com:443",)
    assert result.hosts[0].writes == writes


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "otel.example.com"}, "expected https://HOST"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://u:p@otel.example.com"}, "without user and password"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://192.0.2.7"}, "not an address"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com:x"}, "expected https://HOST"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com/a'b"}, "expected https://HOST"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.example.com:4318", KEY: "x-key=v4lue"}, "only into https on port 443"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com:4318", KEY: "x-key=v4lue"}, "only into https on port 443"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", KEY: "x-key=v4lue"}, "with grpc"),
        (
            {
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://logs.example.org/logs",
                "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "x-key=v4lue",
            },
            "with grpc",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "", KEY: "x-key=v4lue"}, "set without OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({KEY: "x-key"}, "HEADER=VALUE"),
        ({KEY: "x'key=v4lue"}, "HEADER=VALUE"),
        ({KEY: "cookie=v4lue"}, "HEADER=VALUE"),
        ({KEY: "authorization=Digest v4lue"}, "Bearer or Basic"),
        ({KEY: "authorization=Basic v4lue"}, "is empty"),
        ({KEY: "authorization=Basic NDcxMTp!2NGx1ZQ=="}, "is empty"),
        ({KEY: "x-key=v4lue two"}, "contains a blank"),
        (
            {
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://otel.example.com/logs",
                "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "x-key=one",
                KEY: "x-key=two",
            },
            "x-key has two values",
        ),
    ],
)
def test_errors_do_not_contain_the_secret(variables: dict[str, str], message: str) -> None:
    with pytest.raises(Problems) as caught:
        read(**variables)
    assert message in str(caught.value)
    assert "v4lue" not in str(caught.value)


@given(st.text(), st.text())
def test_any_text_is_parsed_or_refused(endpoint: str, headers: str) -> None:
    try:
        result = read(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **{KEY: headers})
    except Problems:
        return
    for secret in result.secrets.values():
        assert secret.isprintable()
        assert "'" not in secret
