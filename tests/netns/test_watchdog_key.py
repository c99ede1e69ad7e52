"""Real Claude Code with an API key instead of a subscription's token: the key is named when it is refused, and never stored.

The cases share a sandbox, because each boot takes seconds.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.suspension import archive
from tests.netns.notified import WEBHOOK, Service, begin
from tests.netns.sandbox import CODETAINER, Running, eventually
from tests.netns.states import notified
from tests.netns.test_claude import PINNED, claude
from tests.netns.test_watchdog import LIMITED, LONG, REFUSED, ask, measured, passed

pytestmark = pytest.mark.netns

KEY = "sk-ant-api03-" + "the-operators-own-key-0123456789abcdefghij"  # split: it is none


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = begin(
        tmp_path_factory.mktemp("key"), "key", "--claude", claude(PINNED), CLAUDE_CODE_OAUTH_TOKEN="", ANTHROPIC_API_KEY=KEY,
        CODETAINER_NOTIFY=WEBHOOK,
    )  # fmt: skip
    eventually("Claude Code's prompt", lambda: "❯" in service.sandbox.screen())
    yield service
    service.sandbox.stop()
    service.end()


@pytest.fixture
def sandbox(service: Service) -> Running:
    return service.sandbox


def test_a_refused_key_is_named_until_a_call_passes(service: Service, sandbox: Running) -> None:
    """With a key, Claude repeats a refused call by itself; with a subscription's token, it gives up at once."""
    since = ask(sandbox, "please fail: refused 15")
    found = eventually("it is told", lambda: measured(sandbox, since, REFUSED), LONG)
    assert (found.reason, found.credential) == ("401", "ANTHROPIC_API_KEY")
    notified(service, "the API refuses the credential ANTHROPIC_API_KEY", seconds=LONG)
    eventually("Claude repeats the call, and it passes", lambda: passed(sandbox, since), LONG)


def test_a_limit_is_told_until_a_call_passes(sandbox: Running) -> None:
    """With a key, Claude waits for the end of a limit by itself, so only one of a minute and more is told."""
    since = ask(sandbox, "please fail: limited 62")
    found = eventually("it is told", lambda: measured(sandbox, since, LIMITED), LONG)
    assert found.reason == "429"
    eventually("Claude repeats the call, and it passes", lambda: passed(sandbox, since), LONG)


def test_claude_code_stores_nothing_of_the_key_and_an_archive_has_nothing_of_it(sandbox: Running, tmp_path: Path) -> None:
    """Claude Code identifies a key by its last 20 characters, which are the placeholder's."""
    stored = json.loads(sandbox.agent("cat", "/home/claude/.claude.json").stdout)["customApiKeyResponses"]
    assert stored["approved"]
    file = tmp_path / "work.tar"
    subprocess.run([*CODETAINER, "suspend", "--name", sandbox.name, str(file)], check=True, stderr=subprocess.DEVNULL)
    with archive.opened(file) as opened:
        packed = b"".join(map(opened.read, opened.pieces))
    plain = subprocess.run(["zstd", "-q", "-d", "-c"], input=packed, stdout=subprocess.PIPE, check=True).stdout
    assert stored["approved"][0].encode() in plain
    assert KEY[-20:].encode() not in plain
    assert KEY[-12:] not in json.dumps(stored)
