"""git-lfs behind the gate: pushes to addresses that GitHub hands out and to no others, refusals, settings that it stores."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns.sandbox import LISTED, Running, eventually, start
from tests.netns.test_credentials import curl

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("git-lfs") is None and os.environ.get("CI") != "true", reason="git-lfs not found"),
]

REAL = "ghp_the-operators-own"
WORK = "/tmp/lfs"
STORES = "github-cloud.githubusercontent.com\ngithub-cloud.s3.amazonaws.com\nlfs.github.com\n"
STORE, VERIFY = "https://github-cloud.s3.amazonaws.com", "https://lfs.github.com"
# A clone with a commit that contains an LFS object.
PREPARE = """
git clone -q https://github.com/example/demo "$0" && cd "$0"
git lfs install --local && git lfs track '*.bin'
head -c 100000 /dev/urandom >large.bin
git add . && git -c user.name=A -c user.email=a@a.example commit -q -m "Add a large file"
git remote add elsewhere https://github.com/stranger/elsewhere
git remote add hidden https://github.com/example/hidden
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("lfs"), f"lfs-{os.getpid()}", listed=LISTED + STORES,
        GH_PAT=REAL, REPO_URL="https://github.com/example/demo", CODETAINER_PUSH="example/hidden",
    )  # fmt: skip
    prepared = running.agent("sh", "-ec", PREPARE, WORK)
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    yield running
    running.stop()


def git(sandbox: Running, *argv: str) -> tuple[int, str]:
    done = sandbox.agent("git", "-C", WORK, *argv)
    return done.returncode, done.stdout + done.stderr


def stored(sandbox: Running) -> str:
    """Returns what git-lfs has stored about locks."""
    return git(sandbox, "config", "--get-regexp", "locksverify")[1]


def test_an_object_is_pushed_and_pulled(sandbox: Running) -> None:
    code, text = git(sandbox, "push", "origin", "HEAD:refs/heads/large")
    assert code == 0, text
    assert sandbox.asked(kind="http", host=STORE.removeprefix("https://"), method="PUT") == 1
    assert sandbox.asked(kind="http", host=VERIFY.removeprefix("https://"), method="POST") == 1
    clone = "git clone -q -b large https://github.com/example/demo /tmp/again"
    pull = "cd /tmp/again && git lfs install --local && git lfs pull"
    done = sandbox.agent("sh", "-ec", f"{clone} && {pull} && cmp large.bin {WORK}/large.bin")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("options", [["-X", "PUT", "-d", "stolen"], ["-X", "POST", "-d", "{}"], []], ids=["put", "post", "get"])
@pytest.mark.parametrize("host", [STORE, VERIFY])
def test_an_address_that_was_not_handed_out_is_refused(sandbox: Running, host: str, options: list[str]) -> None:
    url = f"{host}/media/{'0' * 64}?X-Amz-Signature=somebody-elses"
    status, text = curl(sandbox, url, *options, credential="AWS4-HMAC-SHA256 Credential=somebody-elses")
    assert (status, "address not handed out by GitHub" in text) == (403, True)
    assert sandbox.asked(kind="http", path=f"/media/{'0' * 64}") == 0


BATCH = ("-H", "Accept: application/vnd.git-lfs+json", "-H", "Content-Type: application/vnd.git-lfs+json")


def handed_out(sandbox: Running, *numbers: int) -> list[dict[str, Any]]:
    """Asks for the addresses of uploads, as git-lfs does. Returns the actions for each object."""
    objects = [{"oid": f"{number:064x}", "size": 1} for number in numbers]
    body = json.dumps({"operation": "upload", "transfers": ["basic"], "objects": objects})
    write = "import sys; open('/tmp/batch', 'w').write(sys.argv[1])"
    assert sandbox.agent("/usr/bin/python3", "-c", write, body).returncode == 0
    url = "https://github.com/example/demo.git/info/lfs/objects/batch"
    status, text = curl(sandbox, url, *BATCH, "--compressed", "--data-binary", "@/tmp/batch")
    assert status == 200
    return [one["actions"] for one in json.loads(text)["objects"]]


def test_all_addresses_of_a_long_answer_work(sandbox: Running) -> None:
    """git-lfs asks for 100 objects at once; the answer for 300 does not fit into a buffer of the gate."""
    actions = handed_out(sandbox, *range(1, 301))
    assert len(json.dumps(actions)) > 98304
    for action in (actions[0], actions[-1]):
        credential = action["upload"]["header"]["Authorization"]
        assert curl(sandbox, action["upload"]["href"], "-X", "PUT", "-d", "x", credential=credential)[0] == 400  # another hash


def test_an_address_works_only_as_it_was_handed_out(sandbox: Running) -> None:
    (actions,) = handed_out(sandbox, 1000)
    upload, verify = actions["upload"]["href"], actions["verify"]["href"]
    signed, right = (actions[name]["header"]["Authorization"] for name in ("upload", "verify"))
    refused = [
        (upload, "POST", signed), (upload, "GET", signed), (upload + "&x=1", "PUT", signed), (upload, "PUT", right),
        (upload, "PUT", ""), (verify, "POST", ""), (verify, "POST", "RemoteAuth somebody-elses"), (verify, "PUT", right),
    ]  # fmt: skip
    for url, method, credential in refused:
        assert curl(sandbox, url, "-X", method, "-d", "x", credential=credential)[0] == 403, (url, method, credential)
    assert curl(sandbox, verify, "-X", "POST", "-d", "x", credential=right)[0] == 200


def test_an_address_works_no_longer_than_it_was_handed_out_for(sandbox: Running) -> None:
    (actions,) = handed_out(sandbox, int("f" * 64, 16))
    upload, credential = actions["upload"]["href"], actions["upload"]["header"]["Authorization"]
    expired = "the address has expired"
    put = ("-X", "PUT", "-d", "x")
    eventually("it has expired", lambda: expired in curl(sandbox, upload, *put, credential=credential)[1])


def test_two_credentials_are_refused(sandbox: Running) -> None:
    (actions,) = handed_out(sandbox, 1001)
    url, right = actions["verify"]["href"], actions["verify"]["header"]["Authorization"]
    second = ("-H", "Authorization: somebody-elses")
    assert curl(sandbox, url, "-X", "POST", "-d", "x", *second, credential=right)[0] == 403


def test_nothing_is_handed_out_for_a_repository_out_of_scope(sandbox: Running) -> None:
    url = "https://github.com/stranger/elsewhere.git/info/lfs/objects/batch"
    assert curl(sandbox, url, *BATCH, "-d", "{}")[0] == 403


def test_a_refusal_reaches_the_user_of_git_lfs(sandbox: Running) -> None:
    code, text = git(sandbox, "lfs", "push", "elsewhere", "HEAD")
    assert code != 0
    assert "Writes go to example/demo, example/hidden only" in text
    assert stored(sandbox) == ""


def test_git_shows_the_same_refusal(sandbox: Running) -> None:
    code, text = git(sandbox, "-c", "core.hooksPath=/dev/null", "push", "elsewhere", "HEAD")
    assert code != 0
    assert "remote: codetainer: outside the writable repositories. Writes go to example/demo, example/hidden only" in text


def test_a_repository_that_the_token_cannot_see_is_not_taken_for_one_without_locks(sandbox: Running) -> None:
    """GitHub answers 404, and git-lfs would then store locksverify=false for ever."""
    code, text = git(sandbox, "lfs", "push", "hidden", "HEAD")
    assert code != 0
    assert "codetainer: GitHub found no such repository" in text
    assert stored(sandbox) == ""
    assert sandbox.asked(kind="http", path="/example/hidden.git/info/lfs/locks/verify") == 1
