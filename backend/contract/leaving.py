"""How the front end of `codetainer up` ends: what its exit code asks `up` to do.

Only root's front end says so. Whatever the agent's tmux client ends with means nothing.
"""

from __future__ import annotations

from enum import IntEnum


class Leaving(IntEnum):
    SESSION = 64  # show the agent's session, and come back
    STOP = 65  # stop the sandbox: the operator was asked, or there is nothing to lose
    NO_SESSION = 66  # boot gave no session, and there is no screen to look at that: exit code 1
    INTERRUPTED = 67  # ctrl+c before there was anything to lose: exit code 130
