"""Building blocks of HAProxy rules: refusals, their bodies, literal values. Source: HAProxy configuration manual 2.6."""

from __future__ import annotations

import json


def answer(kind: str, message: str, *, how: str = "string") -> str:
    """Returns content type (`kind`: json or text) and body of a refusal, quoted for HAProxy's configuration.

    `how` is string, or lf-string if the message contains variables (%[...]).
    """
    text = f"codetainer: {message}"
    if kind == "json":
        text = json.dumps({"type": "error", "message": text, "error": {"type": "permission_error", "message": text}})
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'content-type {"application/json" if kind == "json" else "text/plain"} {how} "{escaped}\\n"'


def deny(how: str, condition: str) -> tuple[str, str]:
    """Rules for a refusal (`how`: status and answer). They read the body first: HTTP/2 clients miss answers while sending."""
    return f"http-request wait-for-body time 1s if {condition}", f"http-request deny {how} if {condition}"


def quoted(text: str) -> str:
    """Returns a log-format string for a literal text: HAProxy interprets % and quotes. Raises ValueError for a quote."""
    if "'" in text:
        raise ValueError("cannot use a credential that contains a quote")
    return "'" + text.replace("%", "%%") + "'"
