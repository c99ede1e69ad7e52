"""The measured load of a sandbox, in a PID namespace whose processes are all known."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.netns

# In /proc/PID/status the process's name comes before the kernel's line with its uids.
MEASURE = r"""
import json, os, subprocess, sys
from backend.contract.paths import AGENT_UID
from backend.supervision.load import Load

NAMED = '''
import ctypes, sys
libc = ctypes.CDLL(None)
assert libc.prctl(15, sys.argv[1].encode(), 0, 0, 0) == 0  # PR_SET_NAME
print("ready", flush=True)
sys.stdin.read()
'''
before = Load.now()
children = []
for uid, name in ((AGENT_UID, "plain"), (AGENT_UID, "Uid:\t0\t0\t0"), (0, f"Uid:\t{AGENT_UID}\t{AGENT_UID}\t1")):
    child = subprocess.Popen(
        ["/usr/bin/python3", "-I", "-S", "-c", NAMED, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=uid, group=uid,
        extra_groups=[],
    )
    assert child.stdout.readline() == b"ready\n"
    children.append(child)
now = Load.now()
print(json.dumps([before.agent_processes, now.agent_processes, now.agent_resident, now.resident]))
for child in children:
    child.communicate()
"""


def test_a_process_name_cannot_hide_that_it_is_the_agents() -> None:
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", MEASURE],
        stdout=subprocess.PIPE, timeout=60, check=True,
    )  # fmt: skip
    before, now, agents, everybodys = json.loads(done.stdout)
    assert (before, now) == (0, 2)
    assert 0 < agents < everybodys
