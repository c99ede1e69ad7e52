"""What a sandbox of `codetainer up` must not show of this machine; for both ways to start one."""

from __future__ import annotations

import json
from pathlib import Path

from backend.sandbox import traces
from backend.sandbox.layout import MADE, SYSTEM
from tests.netns.sandbox import Running

OURS = Path(__file__).parents[2]  # programs are bound from here
LOOK = """
import glob, json, os, sys
def text(file):
    try:
        return open(file, errors="replace").read()
    except OSError:
        return ""
print(json.dumps({
    "top": sorted(os.listdir("/")),
    "machine-id": text("/etc/machine-id"),
    "accounts": [line.split(":") for line in text("/etc/passwd").splitlines()],
    "groups": [line.split(":") for line in text("/etc/group").splitlines()],
    "mounts": text("/proc/self/mountinfo"),
    "files": [file for pattern in json.loads(sys.argv[1]) for file in glob.glob("/" + pattern)],
    "firmware": [file for file in glob.glob("/sys/firmware/*") + glob.glob("/sys/class/dmi/id/*")],
    "rest": [file for folder in json.loads(sys.argv[2]) for file in glob.glob(f"/{folder}/*")],
}))
"""


def shows_nothing(sandbox: Running) -> None:
    """Looks as the agent. This machine has a machine id and a name at its top, such as the repository's, so it can fail."""
    folders = (*traces.FOLDERS, "media", "mnt", "srv")
    seen = sandbox.python(LOOK, json.dumps(traces.FILES), json.dumps(folders))
    fixed = SYSTEM | MADE | {*traces.EMPTY, "root", "workspace"}
    assert {path.name for path in Path("/").iterdir()} - fixed, "nothing to hide"
    assert {*seen["top"]} <= fixed, {*seen["top"]} - fixed
    machine_id = Path("/etc/machine-id")
    assert len(seen["machine-id"].strip()) == 32
    assert not machine_id.exists() or seen["machine-id"] != machine_id.read_text()
    assert seen["files"] == seen["firmware"] == seen["rest"] == []
    people = [entry[0] for entry in seen["accounts"] if traces.FIRST_PERSON <= int(entry[2]) != traces.NOBODY]
    assert people == ["claude"]
    assert {entry[4] for entry in seen["accounts"]} == {"", "root"}
    assert {entry[3] for entry in seen["groups"]} == {""}
    assert str(OURS) not in seen["mounts"]
    paths = {line.split()[3] for line in seen["mounts"].splitlines()}
    assert not any(path.startswith(str(Path.home())) for path in paths), paths


def homes_are_read_only(sandbox: Running) -> None:
    for place in ("/root", "/", "/opt", "/home", "/srv"):
        done = sandbox.root("touch", f"{place}/x")
        assert (done.returncode, "Read-only file system" in done.stderr) == (1, True), (place, done.stderr)
