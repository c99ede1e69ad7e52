"""Building blocks of HAProxy rules: refusals, their bodies, literal values. Source: HAProxy configuration manual 2.6."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from network import reasons
from network.gate import wording

REPORTED = "var(txn.reported) -m found"  # by report.lua
ACCEPTS_JSON = "{ req.hdr(accept) -m sub -i json }"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the gate: its HTTP status and its reason, one of network/reasons.py.

    With `answers` json the body is always JSON; with text it is JSON only for clients that accept JSON, such as git-lfs. git
    shows text. With registry it is the JSON of container registries, whose clients show the messages in `errors` (OCI
    distribution specification). `detail` is a key of DETAILS, or `variable` is an HAProxy variable with the detail.
    `repositories` are those that may be written to.
    """

    status: int
    reason: str
    answers: str
    detail: str = ""
    repositories: tuple[str, ...] = ()
    variable: str = ""

    def rules(self, condition: str) -> Iterable[str]:
        """Rules that refuse a request and set txn.verdict for the log. The condition must not contain `or`."""
        yield f"http-request set-var(txn.verdict) str({wording.verdict(self.reason, self.detail)}) if {condition}"
        if self.variable:
            text = reasons.sentence(self.reason, reasons.advice(self.reason), f"%[var({self.variable})]")
        else:
            text = wording.sentence(self.reason, self.detail, self.repositories)
        yield from _deny(self.status, self.answers, text, condition, "lf-string" if self.variable else "string")


def checked_by_lua(action: str, variable: str, answers: str, condition: str = "", service: str = "") -> Iterable[str]:
    """Rules that run a Lua action and refuse the request unless the action sets a variable to "fine".

    Otherwise the action sets it to the sentence for the client, and txn.verdict for the log (json.lua: decide). A `service` in
    Lua answers if the action sets the variable with the suffix _answer. The action then reports the refusal (report.lua).
    """
    when = f" if {condition}" if condition else ""
    failed = wording.sentence(reasons.UNCLEAR, "failed")
    yield f"http-request set-var(txn.verdict) str({wording.verdict(reasons.UNCLEAR, 'failed')}){when}"
    yield f"http-request set-var({variable}) str('{failed}'){when}"
    yield f"http-request lua.{action}{when}"
    wrong = f"{condition} !{{ var({variable}) -m str fine }}".strip()
    if service:
        yield f"http-request set-log-level silent if {{ {REPORTED} }}"
        yield f"http-request use-service lua.{service} if {wrong} {{ var({variable}_answer) -m len gt 0 }}"
    yield f"http-request wait-for-body time 1s if {wrong}"
    yield from _deny(403, answers, f"%[var({variable})]", wrong, "lf-string")


def instead(status: int, text: str, condition: str) -> str:
    """A rule that replaces the server's answer by JSON."""
    return f"http-response return status {status} {body('json', text)} if {condition}"


def _deny(status: int, answers: str, text: str, condition: str, how: str) -> Iterable[str]:
    if answers == "text":
        yield f"http-request deny deny_status {status} {body('json', text, how)} if {condition} {ACCEPTS_JSON}"
    yield f"http-request deny deny_status {status} {body(answers, text, how)} if {condition}"


def body(kind: str, text: str, how: str = "string") -> str:
    """The body of an answer. `how` is string, or lf-string if the text contains variables (%[...])."""
    text = f"codetainer: {text}"
    if kind == "json":
        text = json.dumps({"type": "error", "message": text, "error": {"type": "permission_error", "message": text}})
    elif kind == "registry":
        text = json.dumps({"errors": [{"code": "DENIED", "message": text}]})
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    content = "text/plain" if kind == "text" else "application/json"
    return f'content-type {content} {how} "{escaped}\\n"'


def deny(refusal: Refusal, condition: str) -> Iterable[str]:
    """Rules for a refusal. They read the body before the answer: HTTP/2 clients miss answers while sending.

    The verdict comes first, because the request ends here if its body does not arrive.
    """
    verdict, *answer = refusal.rules(condition)
    yield verdict
    yield f"http-request wait-for-body time 1s if {condition}"
    yield from answer


def encoded(name: str) -> str:
    """A regular expression for a parameter name, each character of which may be percent-encoded."""
    return "".join(f"({character}|%{ord(character):02x}|%{ord(character.upper()):02x})" for character in name)


def quoted(text: str) -> str:
    """Returns a log-format string for a literal text: HAProxy interprets % and quotes. Raises ValueError for a quote."""
    if "'" in text:
        raise ValueError("cannot use a credential that contains a quote")
    return "'" + text.replace("%", "%%") + "'"
