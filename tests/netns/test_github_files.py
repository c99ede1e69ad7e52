"""GitHub's other hosts: files and archives can be read with the placeholder, and container images without it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator

import pytest

from backend.settings import credentials_file
from network.gate import credentials
from tests.netns.sandbox import LISTED, Running, start
from tests.netns.test_credentials import curl

pytestmark = pytest.mark.netns

TOKEN = credentials.placeholders(credentials_file.shipped())["GH_PAT"]
REAL = "ghp_the-operators-own"
RAW, CODELOAD, REGISTRY = "https://raw.githubusercontent.com", "https://codeload.github.com", "https://ghcr.io"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    listed = LISTED + "raw.githubusercontent.com\ncodeload.github.com\nghcr.io\n"
    running = start(tmp_path_factory.mktemp("files"), f"files-{os.getpid()}", listed=listed, GH_PAT=REAL)
    yield running
    running.stop()


@pytest.mark.parametrize("host", [RAW, CODELOAD])
def test_a_private_file_is_read_with_the_placeholder(sandbox: Running, host: str) -> None:
    for scheme in ("token", "Bearer"):
        assert curl(sandbox, f"{host}/example/demo/main/file", credential=f"{scheme} {TOKEN}")[0] == 200
        assert sandbox.asked(kind="http", host=host.removeprefix("https://"), credential=f"{scheme} {REAL}") == 1


@pytest.mark.parametrize("host", [RAW, CODELOAD])
def test_an_address_that_github_has_handed_out_works(sandbox: Running, host: str) -> None:
    assert curl(sandbox, f"{host}/example/demo/main/other?token=AB12")[0] == 200
    assert sandbox.asked(kind="http", host=host.removeprefix("https://"), query="token=AB12", credential="") == 1


@pytest.mark.parametrize("host", [RAW, CODELOAD])
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/x1", ["-H", "Authorization: token ghp_somebody-elses"]),
        ("/x1?access_token=somebody-elses", []),
        ("/x1", ["-H", f"Authorization: token {TOKEN}", "-X", "PUT", "-d", "x"]),
    ],
)
def test_foreign_credentials_and_writes_are_refused(sandbox: Running, host: str, path: str, options: list[str]) -> None:
    status, text = curl(sandbox, host + path, *options)
    assert (status, text.startswith("codetainer: ")) == (403, True)
    assert sandbox.asked(kind="http", path="/x1") == 0


def test_images_are_pulled_with_the_tokens_of_the_registry(sandbox: Running) -> None:
    assert curl(sandbox, f"{REGISTRY}/token?scope=repository:example/image:pull&service=ghcr.io")[0] == 200
    assert curl(sandbox, f"{REGISTRY}/v2/example/image/manifests/sha256:ab", credential="Bearer djE6ZXhhbXBsZQ==")[0] == 200


@pytest.mark.parametrize(
    "credential",
    [f"Bearer {TOKEN}", "Basic " + base64.b64encode(f"octocat:{TOKEN}".encode()).decode()],
    ids=["bearer", "basic"],
)
def test_the_registry_never_sees_the_placeholder(sandbox: Running, credential: str) -> None:
    """Its answer would be a token that contains the operator's."""
    status, text = curl(sandbox, f"{REGISTRY}/token?service=private", credential=credential)
    assert (status, json.loads(text)["errors"][0]["code"]) == (403, "DENIED")
    assert "codetainer: credential not used at this host" in text
    assert sandbox.asked(kind="http", host="ghcr.io", query="service=private") == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_image_is_pushed_whosever_the_token_is(sandbox: Running, method: str) -> None:
    options = ("-X", method, "-d", "the operator's work")
    status, text = curl(sandbox, f"{REGISTRY}/v2/evil/image/blobs/uploads/", *options, credential="Bearer somebody-elses")
    assert (status, json.loads(text)["errors"][0]["code"]) == (403, "DENIED")
    assert sandbox.asked(kind="http", host="ghcr.io", method=method) == 0


def test_the_placeholder_has_both_of_its_usual_names(sandbox: Running) -> None:
    assert sandbox.agent("printenv", "GH_TOKEN", "GITHUB_TOKEN").stdout.split() == [TOKEN, TOKEN]
