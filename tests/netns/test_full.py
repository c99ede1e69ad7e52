"""Codetainer's own folder is full for a while: requests fail with a reason, none is half done, and everything recovers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from backend.contract.events import Noted, ProofFinished, ServiceState, Withdrawn
from tests.netns.sandbox import Running, eventually, start
from tests.netns.test_cases import connect, refused

pytestmark = pytest.mark.netns

FILL = "/run/codetainer/fill"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("full"), f"full-{os.getpid()}", CODETAINER_PROOF="1s", CODETAINER_CERTIFICATES="1h",
        REPO_URL="https://github.com/example/demo",
    )  # fmt: skip
    yield running
    running.stop()


def test_requests_fail_with_a_reason_and_none_is_half_done(box: Running) -> None:
    assert box.codetainer("allow", "plain.test", "--port", "8443", "--for", "2s").returncode == 0
    assert box.codetainer("allow", "wild.test", "--port", "8443").returncode == 0
    assert "No space left" in box.root("sh", "-c", f"cat /dev/zero > {FILL}").stderr
    try:
        allowed = box.codetainer("allow", "unlisted.test")
        assert (allowed.returncode, "No space left on device" in allowed.stderr) == (1, True), allowed
        assert connect(box, "unlisted.test") == "no such name"
        assert connect(box, "github.com") == "open"
        assert connect(box, "192.0.2.61") == "refused"
        assert box.codetainer("status").returncode in (0, 1)
        assert box.codetainer("logs").returncode == 0
        box.agent("sh", "-c", "echo work > /workspace/repo/work.txt")
        assert box.root("sh", "-c", "codetainer export > /tmp/work.bundle").returncode == 0
        # Some events still fit into the journal's last page; these do not.
        box.agent("sh", "-c", "for n in $(seq 80); do getent ahostsv4 name-$n.unlisted-$n.test; done")
        box.kill("gate")
        eventually("the gate is away", lambda: connect(box, "plain.test", 80) != "open")
    finally:
        box.root("rm", "-f", FILL)
    eventually("its time is up", lambda: any(event.name == "plain.test" for event in box.events(Withdrawn)))
    eventually("the loss is reported", lambda: [n for n in box.events(Noted) if "events were lost" in n.text])
    eventually("the gate is up, and readers know", lambda: box.state.services["gate"].state is ServiceState.UP)
    assert set(box.state.allowed) == {"wild.test:8443"}
    self_tests = len(box.events(ProofFinished))
    eventually("the self-test has run", lambda: len(box.events(ProofFinished)) > self_tests)
    assert box.state.is_open, box.state.protection_failed
    assert connect(box, "github.com") == "open"
    assert connect(box, "192.0.2.62") == "refused"
    eventually("the refusal is reported", lambda: refused(box, address="192.0.2.62"))
    assert box.codetainer("allow", "unlisted.test").returncode == 0
    assert connect(box, "unlisted.test") == "open"
    assert box.codetainer("session", "restart").returncode == 0
