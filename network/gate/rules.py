"""HAProxy's rules as text: a refusal, its body, a value taken as it is. Source: HAProxy configuration manual 2.6."""

from __future__ import annotations

import json


def answer(kind: str, message: str, *, how: str = "string") -> str:
    """Content type (`kind`: json or text) and body of a refusal, as HAProxy's configuration quotes them.

    An lf-string may hold variables (%[...]).
    """
    text = f"codetainer: {message}"
    if kind == "json":
        text = json.dumps({"type": "error", "message": text, "error": {"type": "permission_error", "message": text}})
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'content-type {"application/json" if kind == "json" else "text/plain"} {how} "{quoted}\\n"'


def deny(how: str, condition: str) -> tuple[str, str]:
    """A refusal (`how`: status and answer). Its body is taken first: HTTP/2 clients lose the answer while they still send."""
    return f"http-request wait-for-body time 1s if {condition}", f"http-request deny {how} if {condition}"


def quoted(text: str) -> str:
    """A log-format string that is this text: HAProxy reads % and quotes. Raises ValueError."""
    if "'" in text:
        raise ValueError("cannot hold a credential with a quote in it")
    return "'" + text.replace("%", "%%") + "'"
