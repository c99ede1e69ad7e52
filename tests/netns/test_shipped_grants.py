"""The shipped allowlist: real clients do their work, and a stranger's account gets nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from network import allowlist
from tests.netns import worlds
from tests.netns.sandbox import Begin, Running

pytestmark = worlds.BOTH

SHIPPED = Path(allowlist.__file__).with_name("domains.conf").read_text()
# The commands for package registries take seconds; tests/netns/test_registry_clients.py has their clients.
LIST = "".join(f"{line}\n" for line in SHIPPED.splitlines() if not line.startswith("@"))
CURL = "curl -sS -o /dev/null -w %{http_code}"
STRANGER = "-H 'Authorization: Bearer of-a-stranger'"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    running = begin(
        tmp_path_factory.mktemp("shipped"), f"shipped-{os.getpid()}", listed=LIST, REPO_URL="https://github.com/example/demo"
    )
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.mark.parametrize(
    "command",
    [
        "test -f /workspace/repo/hello.py",
        "git clone -q https://github.com/example/demo",
        "git -C /workspace/repo fetch -q origin",
        f"test $({CURL} -L https://github.com/example/demo/releases/latest/download/thing-1.0-py3-none-any.whl) = 200",
        f"test $({CURL} 'https://release-assets.githubusercontent.com/a/b?sig=x%2Fy&rscd=attachment%3B+filename%3Db') = 200",
        f"test $({CURL} https://api.github.com/repos/example/demo) = 200",
        f"test $({CURL} https://raw.githubusercontent.com/example/demo/main/C%23/a%20b.txt) = 200",
        f"test $({CURL} -d '{{}}' https://platform.claude.com/v1/oauth/token) = 200",
        f"test $({CURL} https://claude.ai/install.sh) = 200",
    ],
)
def test_the_shipped_allowlist_lets_clients_work(sandbox: Running, command: str) -> None:
    done = sandbox.agent("bash", "-c", f'cd "$(mktemp -d)"; {command}')
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("host", "method", "path"),
    [
        ("api.anthropic.com", "POST", "/v1/files"),
        ("api.anthropic.com", "POST", "/v1/messages/batches"),
        ("api.anthropic.com", "POST", "/v1/sessions"),
        ("claude.ai", "POST", "/api/organizations/1/upload"),
        ("platform.claude.com", "POST", "/v1/files"),
        ("github.com", "POST", "/stranger/repo/git-receive-pack"),
        ("github.com", "POST", "/stranger/repo.git/git-receive-pack"),
        ("github.com", "POST", "/session"),
        ("api.github.com", "POST", "/gists"),
        ("api.github.com", "POST", "/graphql"),
        ("api.github.com", "PUT", "/repos/stranger/repo/contents/a"),
        ("uploads.github.com", "POST", "/repos/stranger/repo/releases/1/assets"),
        ("codeload.github.com", "POST", "/stranger/repo/git-receive-pack"),
        ("raw.githubusercontent.com", "PUT", "/stranger/repo/main/a"),
        ("objects.githubusercontent.com", "PUT", "/a"),
        ("release-assets.githubusercontent.com", "PUT", "/a"),
        ("github-cloud.githubusercontent.com", "PUT", "/a"),
        ("github-cloud.s3.amazonaws.com", "PUT", "/alambic/media/1"),
        ("lfs.github.com", "POST", "/stranger/repo/verify"),
        ("npm.pkg.github.com", "PUT", "/@stranger%2fthing"),
        ("ghcr.io", "POST", "/v2/stranger/image/blobs/uploads/"),
        ("pkg-containers.githubusercontent.com", "PUT", "/a"),
    ],
)
def test_a_strangers_account_cannot_be_written_to(sandbox: Running, host: str, method: str, path: str) -> None:
    done = sandbox.agent("bash", "-c", f"{CURL} -X {method} -d secret {STRANGER} https://{host}{path}")
    assert done.stdout in ("400", "403"), done.stdout + done.stderr
    assert sandbox.asked(kind="http", host=host, method=method, path=path) == 0
