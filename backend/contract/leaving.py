"""The exit codes of the front end of `codetainer up`, which tell `up` what to do next.

Only root's front end can send them; `up` ignores the exit code of the agent's tmux client.
"""

from __future__ import annotations

from enum import IntEnum


class Leaving(IntEnum):
    SESSION = 64  # show the agent's session, then return to the front end
    STOP = 65  # stop the sandbox: the operator agreed, or there was no work to lose
    NO_SESSION = 66  # boot ended without a session, and there is no screen for the dashboard: `up` exits with code 1
    INTERRUPTED = 67  # ctrl+c before there was work to lose: `up` exits with code 130
