"""What the probe says of a process that may do more than the agent, and that a sandbox tries everything there is to try."""

from __future__ import annotations

import pytest

from backend.contract.events import ProofFinished
from codetainer_tui.view.walls import OTHER, SSH, WALLS
from tests.netns.sandbox import Running, eventually

pytestmark = pytest.mark.netns

TRY = """
import json, runpy, sys
print(json.dumps(runpy.run_path("/opt/codetainer/lib/backend/selftest/probe.py")[sys.argv[1]]()))
"""
# A filter that lets everything through: to the kernel it is one (seccomp(2), PR_SET_SECCOMP 22, SECCOMP_MODE_FILTER 2).
FILTERED = """
import ctypes, struct
code = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000))
program = ctypes.create_string_buffer(struct.pack("@HP", 1, ctypes.addressof(code)))
assert ctypes.CDLL(None).prctl(22, 2, program, 0, 0) == 0
"""
AGENT = ("setpriv", "--reuid=1000", "--regid=1000", "--inh-caps=-all")
NO_GROUPS, NO_RIGHTS, NO_NEW = "--clear-groups", "--bounding-set=-all", "--no-new-privs"


@pytest.mark.parametrize(
    ("probe", "who", "said"),
    [
        ("privileges", (), "capabilities"),
        ("privileges", ("setpriv", "--inh-caps=+chown", "setpriv", NO_RIGHTS), "capabilities"),
        ("privileges", (*AGENT, NO_GROUPS, NO_NEW), "capabilities"),
        ("privileges", (*AGENT, "--groups=4", NO_RIGHTS, NO_NEW), "supplementary groups"),
        ("privileges", (*AGENT, NO_GROUPS, NO_RIGHTS), "can gain privileges"),
        ("privileges", (*AGENT, NO_GROUPS, NO_RIGHTS, NO_NEW), ""),
        ("foreign_environments", (), "can be read"),
        ("system_calls", (), "not filtered"),
    ],
)
def test_whoever_may_do_more_is_found_out(sandbox: Running, probe: str, who: tuple[str, ...], said: str) -> None:
    done = sandbox.root(*who, "/usr/bin/python3", "-I", "-S", "-c", TRY, probe)
    assert done.returncode == 0, done.stderr
    assert (said in done.stdout) if said else (done.stdout == '""\n')


def test_a_filter_that_lets_a_namespace_be_made_is_none(sandbox: Running) -> None:
    assert "can create user namespaces" in sandbox.python(FILTERED + TRY, "system_calls", root=True)


ELSEWHERE = """
import json, os, runpy
tried = runpy.run_path("/opt/codetainer/lib/backend/selftest/probe.py")["root_read_only"]
os.chroot("/tmp")
print(json.dumps(tried()))
"""


def test_a_root_that_can_be_written_is_found_out(sandbox: Running) -> None:
    assert sandbox.python(TRY, "root_read_only") == ""
    assert "is writable" in sandbox.python(ELSEWHERE, root=True)


def test_everything_is_tried(sandbox: Running) -> None:
    tried = eventually("the walls were tried", lambda: sandbox.events(ProofFinished))[0].results
    assert set(tried) == {probe for wall in WALLS if wall is not SSH for probe in wall.probes} | OTHER
    assert set(tried.values()) == {""}
