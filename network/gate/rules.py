"""Building blocks of HAProxy rules: refusals, their bodies, literal values. Source: HAProxy configuration manual 2.6."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

ACCEPTS_JSON = "{ req.hdr(accept) -m sub -i json }"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the gate: its HTTP status and message.

    With `answers` json the body is always JSON; with text it is JSON only for clients that accept JSON, such as git-lfs. git
    shows text. With registry it is the JSON of container registries, whose clients show the messages in `errors` (OCI
    distribution specification). `how` is string, or lf-string if the message contains variables (%[...]).
    """

    status: int
    message: str
    answers: str
    how: str = "string"

    def rules(self, condition: str) -> Iterable[str]:
        """Rules that refuse a request. The condition must not contain `or`."""
        if self.answers == "text":
            yield f"http-request deny deny_status {self.status} {self._body('json')} if {condition} {ACCEPTS_JSON}"
        yield f"http-request deny deny_status {self.status} {self._body(self.answers)} if {condition}"

    def instead(self, condition: str) -> str:
        """A rule that replaces the server's answer."""
        return f"http-response return status {self.status} {self._body(self.answers)} if {condition}"

    def _body(self, kind: str) -> str:
        text = f"codetainer: {self.message}"
        if kind == "json":
            text = json.dumps({"type": "error", "message": text, "error": {"type": "permission_error", "message": text}})
        elif kind == "registry":
            text = json.dumps({"errors": [{"code": "DENIED", "message": text}]})
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
        content = "text/plain" if kind == "text" else "application/json"
        return f'content-type {content} {self.how} "{escaped}\\n"'


def deny(refusal: Refusal, condition: str) -> Iterable[str]:
    """Rules for a refusal. They read the body first: HTTP/2 clients miss answers while sending."""
    yield f"http-request wait-for-body time 1s if {condition}"
    yield from refusal.rules(condition)


def quoted(text: str) -> str:
    """Returns a log-format string for a literal text: HAProxy interprets % and quotes. Raises ValueError for a quote."""
    if "'" in text:
        raise ValueError("cannot use a credential that contains a quote")
    return "'" + text.replace("%", "%%") + "'"
