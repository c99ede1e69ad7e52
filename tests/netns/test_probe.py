"""The self-test's probes: each detects a process with more rights than the agent, and a sandbox runs all of them."""

from __future__ import annotations

import pytest

from backend.contract.events import ProofFinished
from codetainer_tui.view.walls import NOTIFICATIONS, OTHER, SSH, WALLS
from tests.netns.sandbox import Running, eventually

pytestmark = pytest.mark.netns

TRY = """
import json, runpy, sys
print(json.dumps(runpy.run_path("/opt/codetainer/lib/backend/selftest/probe.py")[sys.argv[1]]()))
"""
# A seccomp filter that allows everything (seccomp(2), PR_SET_SECCOMP 22, SECCOMP_MODE_FILTER 2).
FILTERED = """
import ctypes, struct
code = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000))
program = ctypes.create_string_buffer(struct.pack("@HP", 1, ctypes.addressof(code)))
assert ctypes.CDLL(None).prctl(22, 2, program, 0, 0) == 0
"""
AGENT = ("setpriv", "--reuid=1000", "--regid=1000", "--inh-caps=-all")
NO_GROUPS, NO_RIGHTS, NO_NEW = "--clear-groups", "--bounding-set=-all", "--no-new-privs"


@pytest.mark.parametrize(
    ("probe", "prefix", "problem"),
    [
        ("privileges", (), "capabilities"),
        ("privileges", ("setpriv", "--inh-caps=+chown", "setpriv", NO_RIGHTS), "capabilities"),
        ("privileges", (*AGENT, NO_GROUPS, NO_NEW), "capabilities"),
        ("privileges", (*AGENT, "--groups=5", NO_RIGHTS, NO_NEW), "supplementary groups"),
        ("privileges", (*AGENT, NO_GROUPS, NO_RIGHTS), "can gain privileges"),
        ("privileges", (*AGENT, NO_GROUPS, NO_RIGHTS, NO_NEW), ""),
        ("foreign_environments", (), "can be read"),
        ("system_calls", (), "not filtered"),
    ],
)
def test_excess_rights_are_detected(sandbox: Running, probe: str, prefix: tuple[str, ...], problem: str) -> None:
    done = sandbox.root(*prefix, "/usr/bin/python3", "-I", "-S", "-c", TRY, probe)
    assert done.returncode == 0, done.stderr
    assert (problem in done.stdout) if problem else (done.stdout == '""\n')


def test_a_filter_that_allows_namespaces_is_detected(sandbox: Running) -> None:
    assert "can create user namespaces" in sandbox.python(FILTERED + TRY, "system_calls", root=True)


ELSEWHERE = """
import json, os, runpy
tried = runpy.run_path("/opt/codetainer/lib/backend/selftest/probe.py")["root_read_only"]
os.chroot("/tmp")
print(json.dumps(tried()))
"""


def test_a_writable_root_is_detected(sandbox: Running) -> None:
    assert sandbox.python(TRY, "root_read_only") == ""
    assert "is writable" in sandbox.python(ELSEWHERE, root=True)


def test_a_sandbox_runs_all_probes(sandbox: Running) -> None:
    tried = eventually("the self-test has run", lambda: sandbox.events(ProofFinished))[0].results
    assert set(tried) == {probe for wall in WALLS if wall not in (SSH, NOTIFICATIONS) for probe in wall.probes} | OTHER
    assert set(tried.values()) == {""}
