"""Runs a plan of commands (tests/netns/clients/rows.py), some at a time. Usage: commands.py PLAN FOLDER

Each command runs in a folder of its own, which is removed after it. Results are lines of JSON, in the order of the plan.
"""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PARALLEL = 3
SECONDS = 45


def run(numbered: tuple[int, dict]) -> dict:  # type: ignore[type-arg]
    number, step = numbered
    folder = Path(sys.argv[2]) / str(number)
    folder.mkdir(parents=True)
    (folder / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    try:
        done = subprocess.run(
            ["sh", "-ec", step["script"]], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        return {"status": 0, "size": 0, "error": f"no end within {SECONDS} s: {error.stdout!r} {error.stderr!r}"}
    finally:
        size = (folder / "out").stat().st_size if (folder / "out").exists() else -1
        shutil.rmtree(folder, ignore_errors=True)  # it may have left a process that writes
    said = (done.stdout[-1500:] + done.stderr[-1500:]).strip() if done.returncode else ""
    return {"status": 0 if done.returncode else 200, "size": size, "error": said}


with ThreadPoolExecutor(PARALLEL) as pool:
    for result in pool.map(run, enumerate(json.loads(Path(sys.argv[1]).read_text()))):
        print(json.dumps(result), flush=True)
