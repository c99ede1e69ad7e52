"""Runs a command in a new folder and prints its seconds. Arguments: the command, environment and files (name: URL) as JSON."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

command, environment, files = (json.loads(argument) for argument in sys.argv[1:])
with tempfile.TemporaryDirectory() as folder:
    for name, url in files.items():
        with urllib.request.urlopen(url, timeout=60) as answer:
            pathlib.Path(folder, name).write_bytes(answer.read())
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "HOME": folder, **environment}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True,
    )  # fmt: skip
    seconds = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"{command} failed:\n{done.stdout}{done.stderr}")
print(json.dumps(seconds))
