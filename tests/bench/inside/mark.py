"""Shows a text in the session's shell pane: SOCKET FIRST REST. Prints true once it is on the screen."""

import json
import subprocess
import sys
import time

socket, first, rest = sys.argv[1:4]


def tmux(*arguments: str) -> str:
    done = subprocess.run(["tmux", "-S", socket, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


pane = tmux("list-panes", "-a", "-F", "#{pane_id}").split()[-1]
# The shell joins the parts, so that the typed command does not contain the text.
tmux("send-keys", "-t", pane, "-l", f"clear; echo {first}''{rest}")
tmux("send-keys", "-t", pane, "Enter")
deadline = time.monotonic() + 20
while first + rest not in tmux("capture-pane", "-p", "-t", pane):
    if time.monotonic() > deadline:
        raise SystemExit(f"the pane does not show {first}{rest}")
    time.sleep(0.05)
print(json.dumps(True))
