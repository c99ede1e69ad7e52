"""The deployment files in docs/deploy agree with the code and with each other."""

import configparser
import ipaddress
import re
import tomllib
from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from backend import settings
from backend.capabilities import NEEDED
from backend.settings import VARIABLES
from tests.documentation import ROOT

FOLDER = ROOT / "docs/deploy"
TEXTS = {path.name: path.read_text() for path in sorted(FOLDER.iterdir()) if path.is_file()}
COMPOSE = yaml.safe_load(TEXTS["compose.yaml"])["services"]["codetainer"]
NAMESPACE, POD, POLICY = yaml.safe_load_all(TEXTS["pod.yaml"])
SANDBOX = yaml.safe_load(TEXTS["sandbox.yaml"])
FLY = tomllib.loads(TEXTS["fly.toml"])
CONTAINER = POD["spec"]["containers"][0]
CAPABILITIES = sorted(capability.name for capability in NEEDED)
IMAGE = "ghcr.io/perezd/codetainer:latest"


def unit() -> configparser.ConfigParser:
    """Parses the systemd unit. Keeps only the last value of a repeated key, unlike systemd."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(TEXTS["codetainer@.service"])
    return parser


def variables(text: str) -> set[str]:
    """Finds names in a text that look like our variables, without the suffix _FILE."""
    names = re.findall(r"\b((?:CODETAINER|GIT|GH|CLAUDE|ANTHROPIC|REPO)_[A-Z_]+[A-Z])\b", text)
    return {name.removesuffix("_FILE") for name in names}


@pytest.mark.parametrize("name", TEXTS)
def test_the_variables_that_are_mentioned_exist(name: str) -> None:
    assert variables(TEXTS[name]) - {v.name for v in VARIABLES} == set()


def test_the_readme_lists_every_file() -> None:
    files = [str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file() and path.name != "README.md"]
    assert [file for file in files if f"({file})" not in TEXTS["README.md"]] == []


def test_variables_finds_them() -> None:
    assert variables("GH_PAT_FILE=%d/x --env CODETAINER_NONE=1") == {"GH_PAT", "CODETAINER_NONE"}


@pytest.mark.parametrize("name", ["compose.yaml", "pod.yaml", "fly.toml", "launch-on-fly", "codetainer@.service"])
def test_every_deployment_sets_the_credentials(name: str) -> None:
    assert {"GH_PAT", "CLAUDE_CODE_OAUTH_TOKEN"} <= variables(TEXTS[name]) or name == "fly.toml"


def test_every_deployment_adds_exactly_the_needed_capabilities() -> None:
    added = CONTAINER["securityContext"]["capabilities"]["add"]
    assert COMPOSE["cap_drop"] == CONTAINER["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert COMPOSE["cap_add"] == added == CAPABILITIES


def test_documents_name_the_same_capabilities() -> None:
    text = (ROOT / "docs/image.md").read_text()
    assert re.findall(r"--cap-add (\w+)", text) == CAPABILITIES
    rows = re.findall(r"^\| ([A-Z_, ]+) \|", text, re.MULTILINE)
    assert sorted(name for row in rows for name in row.split(", ")) == CAPABILITIES


def test_kubernetes_runs_the_health_check_of_the_image() -> None:
    check = re.search(r"^HEALTHCHECK .*\\\n\s+CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert check and CONTAINER["readinessProbe"]["exec"]["command"] == ["sh", "-c", check[1]]


def test_the_sandbox_resource_has_the_template_of_the_pod() -> None:
    template = SANDBOX["spec"]["podTemplate"]
    assert template["spec"] == POD["spec"]
    assert template["metadata"]["labels"] == POD["metadata"]["labels"] == POLICY["spec"]["podSelector"]["matchLabels"]
    assert (SANDBOX["apiVersion"], SANDBOX["kind"]) == ("agents.x-k8s.io/v1beta1", "Sandbox")


def test_every_resource_is_in_the_one_namespace() -> None:
    assert {item["metadata"]["namespace"] for item in (POD, POLICY, SANDBOX)} == {NAMESPACE["metadata"]["name"]}


def test_the_pod_gives_the_agent_nothing_of_the_cluster() -> None:
    spec, context = POD["spec"], CONTAINER["securityContext"]
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & spec.keys() and "volumeMounts" not in CONTAINER
    assert context["privileged"] is False and context["readOnlyRootFilesystem"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "livenessProbe" not in CONTAINER and CONTAINER["resources"]["limits"]["memory"] == "4Gi"


def blocks(policy: dict[str, Any]) -> Iterable[ipaddress.IPv4Network]:
    for rule in policy["spec"]["egress"]:
        for peer in rule["to"]:
            for block in peer.get("ipBlock", {}).get("except", []):
                yield ipaddress.IPv4Network(block)


def test_the_network_policy_allows_only_dns_and_web() -> None:
    spec = POLICY["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"} and spec["ingress"] == []
    dns, web = spec["egress"]
    assert {(port["protocol"], port["port"]) for port in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert {(port["protocol"], port["port"]) for port in web["ports"]} == {("TCP", 443), ("TCP", 80)}
    for address in ("10.96.0.1", "172.17.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "127.0.0.1"):
        assert any(ipaddress.IPv4Address(address) in block for block in blocks(POLICY)), address


@pytest.mark.parametrize("image", [COMPOSE["image"], CONTAINER["image"], FLY["build"]["image"]])
def test_one_image_everywhere(image: str) -> None:
    assert image == IMAGE and f":-{IMAGE}" in TEXTS["launch-on-fly"]


def test_compose_publishes_no_port_and_keeps_the_root_read_only() -> None:
    assert not {"ports", "volumes", "network_mode", "privileged", "pid", "devices"} & COMPOSE.keys()
    assert COMPOSE["read_only"] is True and "no-new-privileges:true" in COMPOSE["security_opt"]


def test_on_fly_nothing_is_public_and_no_request_starts_a_machine() -> None:
    assert not {"http_service", "services"} & FLY.keys()
    assert "--port" not in re.sub(r"^#.*", "", TEXTS["launch-on-fly"], flags=re.MULTILINE)
    assert FLY["env"]["CODETAINER_UPSTREAM"] in TEXTS["launch-on-fly"]


def test_the_resolvers_that_are_named_can_be_read() -> None:
    read = next(v.read for v in VARIABLES if v.name == "CODETAINER_UPSTREAM")
    assert len(read(FLY["env"]["CODETAINER_UPSTREAM"])) == 2


def test_no_deployment_restarts_by_itself() -> None:
    policies = (COMPOSE["restart"], POD["spec"]["restartPolicy"], FLY["restart"][0]["policy"], unit()["Service"]["Restart"])
    assert policies == ("no", "Never", "never", "no") and "--restart no" in TEXTS["launch-on-fly"]


def test_the_grace_period_matches_the_time_that_the_platform_gives() -> None:
    read = next(v.read for v in VARIABLES if v.name == "CODETAINER_GRACE")
    pod = {entry["name"]: entry["value"] for entry in CONTAINER["env"]}
    deployments = (
        (COMPOSE["environment"], read(COMPOSE["stop_grace_period"])),
        (pod, POD["spec"]["terminationGracePeriodSeconds"]),
        (FLY["env"], FLY["kill_timeout"]),
    )
    for environment, seconds in deployments:
        assert read(environment["CODETAINER_GRACE"]) == seconds
        assert environment["CODETAINER_AUTOSAVE"].strip("${}").endswith("exit")
    launch, service = TEXTS["launch-on-fly"], unit()["Service"]
    assert "--env CODETAINER_GRACE=30s" in launch and "--signal SIGTERM --timeout 30 " in launch
    assert "CODETAINER_GRACE=30s" in TEXTS["codetainer@.service"] and int(service["TimeoutStopSec"]) > 30


SECRETS = {"GH_PAT": "ghp_pretend", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-pretend"}


def interpolated(value: str) -> str:
    """A value of compose.yaml with `${NAME:-default}` and `${NAME:?example}` replaced by the default or the example."""
    return re.sub(r"\$\{\w+(?::([-?])([^}]*))?\}", lambda match: match[2], value)


@pytest.mark.parametrize(
    "environment",
    [
        {name: interpolated(value) for name, value in COMPOSE["environment"].items()} | SECRETS,
        {entry["name"]: entry["value"] for entry in CONTAINER["env"]} | SECRETS,
        FLY["env"] | SECRETS,
    ],
    ids=["compose", "kubernetes", "fly"],
)
def test_the_settings_of_each_deployment_are_valid(environment: dict[str, str]) -> None:
    assert settings.load(environment).repo_url


def test_interpolated() -> None:
    assert interpolated("${A:-b} ${C:?d e}${F:-}") == "b d e"


def test_systemd_passes_credentials_as_files() -> None:
    loaded = re.findall(r"^LoadCredential=(\w+):/etc/codetainer/%i/\1$", TEXTS["codetainer@.service"], re.MULTILINE)
    assert loaded == ["GH_PAT", "CLAUDE_CODE_OAUTH_TOKEN"]
    for name in loaded:
        assert f"\nEnvironment={name}_FILE=%d/{name}\n" in TEXTS["codetainer@.service"]


OF_STATE = (
    "name: CODETAINER_STATE", "name: work", "value: /volume", "mountPath:", "volumeMounts:", "volumes:", "work:", "claimName:",
    "persistentVolumeClaim:", "CODETAINER_STATE", "[[mounts]]", "source = ", "destination = ",
)  # fmt: skip


def with_state(name: str) -> str:
    """A deployment file whose lines about CODETAINER_STATE and its volume are no comments any more."""
    lines = []
    for line in TEXTS[name].splitlines():
        indent, mark, text = line.partition("# ")
        is_ours = mark and not indent.strip() and text.lstrip(" -").startswith(OF_STATE)
        lines.append(indent + text if is_ours else line)
    return "\n".join(lines)


def test_a_volume_for_the_work_can_be_enabled() -> None:
    whole = yaml.safe_load(with_state("compose.yaml"))
    compose = whole["services"]["codetainer"]
    assert compose["environment"]["CODETAINER_STATE"] == "/volume"
    assert [volume.split(":") for volume in compose["volumes"]] == [[name, "/volume"] for name in whole["volumes"]]
    fly = tomllib.loads(with_state("fly.toml"))
    assert fly["env"]["CODETAINER_STATE"] == fly["mounts"][0]["destination"] == "/volume"
    _, pod, _ = yaml.safe_load_all(with_state("pod.yaml"))
    sandbox = yaml.safe_load(with_state("sandbox.yaml"))
    assert sandbox["spec"]["podTemplate"]["spec"] == pod["spec"]
    container = pod["spec"]["containers"][0]
    assert {"name": "CODETAINER_STATE", "value": "/volume"} in container["env"]
    (mount,) = container["volumeMounts"]
    (volume,) = pod["spec"]["volumes"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/volume")
    assert volume["persistentVolumeClaim"]["claimName"]
