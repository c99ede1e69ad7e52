"""Runs a command in a new folder and prints its seconds.

Arguments, as JSON: the command, its environment, files to download before (URL by name), and a script to run before ("": none).
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

command, environment, files, before = (json.loads(argument) for argument in sys.argv[1:])
with tempfile.TemporaryDirectory() as folder:
    for name, url in files.items():
        with urllib.request.urlopen(url, timeout=60) as answer:
            pathlib.Path(folder, name).write_bytes(answer.read())
    around = {**os.environ, "HOME": folder, **environment}
    subprocess.run(["sh", "-euc", before], cwd=folder, env=around, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=around, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"{command} failed:\n{done.stdout}{done.stderr}")
print(json.dumps(seconds))
