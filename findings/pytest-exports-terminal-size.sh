#!/bin/sh
# Guess: a program started by a test gets the environment that os.environ shows, so a test run without COLUMNS and LINES
#   starts children without them, and a screen program takes its size from its terminal.
# Behaviour: pytest imports readline, and GNU readline puts COLUMNS and LINES into the process's C environment
#   (rl_change_environment) without Python's knowledge. os.environ has neither of them, subprocess with env=None passes both on,
#   and subprocess with env=dict(os.environ) does not. A program that believes COLUMNS then draws 80 columns on any terminal.
# Seen with: pytest 8.4.2, Python 3.11.7 and 3.11.2, GNU readline 8.2.
# Seen output:
#   os.environ: unset unset
#   child with env=None: 80 24
#   child with env=dict(os.environ): unset unset
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pytest==8.4.2
cat >test_size.py <<'PY'
import os
import subprocess

SHOW = 'echo "${COLUMNS-unset} ${LINES-unset}"'


def child(environment):
    return subprocess.run(["sh", "-c", SHOW], env=environment, capture_output=True, text=True).stdout.strip()


def test_size():
    print("os.environ:", os.environ.get("COLUMNS", "unset"), os.environ.get("LINES", "unset"))
    print("child with env=None:", child(None))
    print("child with env=dict(os.environ):", child(dict(os.environ)))
PY
env -u COLUMNS -u LINES venv/bin/pytest -q -s test_size.py </dev/null | grep -E '^\.?(os|child)' | sed 's/^\.//' | tee seen
cat >expected <<'OUT'
os.environ: unset unset
child with env=None: 80 24
child with env=dict(os.environ): unset unset
OUT
cmp seen expected
