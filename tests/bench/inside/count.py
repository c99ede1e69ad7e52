"""Counts the work in a repository of FILES files TIMES times, and runs `git status` there as often. Prints two lists of ms."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

files, times = int(sys.argv[1]), int(sys.argv[2])
here = Path("/workspace/bench")
environment = {**os.environ, "HOME": "/home/claude"}


def run(*argv: str) -> float:
    began = time.perf_counter()
    subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


(here / "below").mkdir(parents=True)
for number in range(files):
    (here / f"below/{number}.txt").write_text(f"{number}\n" * 50)
run("git", "-C", str(here), "init", "--quiet")
run("git", "-C", str(here), "add", ".")
run("git", "-C", str(here), "commit", "--quiet", "-m", "all of it")
(here / "new.txt").write_text("new\n")
count = ["/opt/codetainer/venv/bin/python3", "-I", "-m", "backend", "work", "count", "/workspace"]
print(json.dumps([[run(*argv) for _ in range(times)] for argv in (count, ["git", "-C", str(here), "status", "--porcelain"])]))
