"""File systems in memory are full for a while: requests fail with a reason, none is half done, and everything recovers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from backend.contract.events import Noted, ProofFinished, SandboxMeasured, ServiceState, Withdrawn
from backend.system import AGENT
from tests.netns.sandbox import UNTIL_WE_END, Running, eventually, start
from tests.netns.test_cases import connect, refused

pytestmark = pytest.mark.netns

FILL = "/run/codetainer/fill"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("full"), f"full-{os.getpid()}", CODETAINER_PROOF="1s", CODETAINER_CERTIFICATES="1h",
        REPO_URL="https://github.com/example/demo", CODETAINER_TMPFS_TMP="16M",
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


HOLD_OPEN = """import os, sys, time
with open("/tmp/gone", "wb") as file:
    os.unlink("/tmp/gone")
    file.write(bytes(6 << 20))
    file.flush()
    print("held", flush=True)
    time.sleep(120)
"""


def test_what_fills_a_file_system_is_named(box: Running) -> None:
    """Of 16 MB: 9 MB in a folder, one MB of that beside a large file, and 6 MB in a deleted file that a program holds open."""
    holds = subprocess.Popen(
        [*UNTIL_WE_END, *box.command(AGENT, "python3", "-c", HOLD_OPEN)], stdout=subprocess.PIPE, text=True
    )
    assert holds.stdout is not None
    assert holds.stdout.readline() == "held\n"
    try:
        box.agent("sh", "-c", "mkdir -p /tmp/a/b && head -c 8M /dev/zero >/tmp/a/b/large && head -c 1M /dev/zero >/tmp/a/small")
        found = eventually("it is measured", lambda: [m.largest for m in box.events(SandboxMeasured) if "/tmp" in m.largest])[
            -1
        ]
        amounts = {one.path: one.size >> 20 for one in found["/tmp"]}
        assert amounts == {"a/b/large": 8, "a/small": 1, "": 6}, found
    finally:
        holds.kill()
        holds.wait()
        box.agent("rm", "-rf", "/tmp/a")
    eventually("nothing is full", lambda: "/tmp" not in box.events(SandboxMeasured)[-1].largest)


EMPTY_FILES = """import errno, os, sys
folder = sys.argv[1]
os.mkdir(folder)
for number in range(100_000):
    try:
        os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        print(number, errno.errorcode[error.errno])
        break
"""


def test_empty_files_are_bounded_and_counted_though_they_take_no_space(box: Running) -> None:
    """16 MB have room for 4096 files; /dev/shm, whose size is 64 MB, for 16384."""
    try:
        for folder, limit in (("/tmp/empty", 4096), ("/dev/shm/empty", 16384)):
            number, error = box.agent("python3", "-c", EMPTY_FILES, folder).stdout.split()
            assert (limit - 200 < int(number) < limit, error) == (True, "ENOSPC"), (folder, number)
        eventually("it is measured", lambda: [m for m in box.events(SandboxMeasured) if m.inodes["/tmp"] == (4096, 4096)])
        status = " ".join(box.codetainer("status").stdout.split())
        assert "/tmp is full" in status, status
        assert "4096 of 4096 files used. Delete files there" in status
    finally:
        box.agent("rm", "-rf", "/tmp/empty", "/dev/shm/empty")
    eventually("it is measured again", lambda: box.events(SandboxMeasured)[-1].inodes["/tmp"][0] < 4096)
