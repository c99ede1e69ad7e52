"""What the reader tells about calls of the model, and when a limit that the API names is over. Pure.

The API's answers come from outside, and the agent can provoke some of them, so everything here is read strictly and bounded.
Sources: https://docs.anthropic.com/en/api/rate-limits; RFC 9110, 10.2.3 (retry-after); for `anthropic-ratelimit-unified-*`,
the limits of subscriptions, Claude Code 2.1.332, which shows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST = 8 * 86400.0  # seconds of a limit: those of a subscription last up to a week
MAX_WORD = 100
PREFIX = "anthropic-ratelimit-"
SHARES = ("requests", "tokens", "input-tokens", "output-tokens")  # limits of an API key
# What a limit of a subscription counts (`anthropic-ratelimit-unified-representative-claim`), in words.
CLAIMS = {
    "five_hour": "the five-hour limit", "seven_day": "the weekly limit", "seven_day_opus": "the weekly limit for Opus",
    "seven_day_sonnet": "the weekly limit for Sonnet", "overage": "the limit of extra usage",
}  # fmt: skip
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answered:
    """The API answered a call of the model. Status 0: the connection failed first, or, if `silent`, the API sends nothing.

    `credential` is the variable whose placeholder the call had, "" if it had none: then the answer says nothing about a
    credential of the operator. `headers` are those about limits, with lower-case names.
    """

    status: int
    model: str = ""
    credential: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A successful answer has ended. `whole` is false if the server broke it off."""

    whole: bool
    model: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes of answers have arrived."""


Note = Answered | Ended | Moved


def parse(note: Mapping[str, Any]) -> Note | None:
    """The part of one of the reader's notes that is about a call; None if there is none."""
    answer, ended = note.get("answer"), note.get("ended")
    if isinstance(answer, dict):
        headers, status = answer.get("headers"), answer.get("status")
        about = headers.items() if isinstance(headers, dict) else ()
        return Answered(
            status if isinstance(status, int) and 0 <= status <= 999 else 0, _word(answer.get("model")),
            _word(answer.get("credential")), {_word(name): _word(value) for name, value in about},
            answer.get("silent") is True,
        )  # fmt: skip
    if isinstance(ended, dict):
        return Ended(ended.get("whole") is True, _word(ended.get("model")))
    return Moved() if note.get("moved") else None


def _word(value: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in value[:MAX_WORD]) if isinstance(value, str) else ""


def wait(headers: Mapping[str, str], now: float) -> float | None:
    """How long a limit lasts from now on (seconds, at most LONGEST), by an answer's headers. None if they do not tell.

    Times are compared with the answer's own `date`, so that a wrong clock does not matter; `now` is used without one.
    """
    now = _http_date(headers.get("date", "")) or now
    ends: list[float | None]
    if headers.get(f"{PREFIX}unified-status") == "rejected":
        ends = [_epoch(headers.get(f"{PREFIX}unified-reset", ""))]
    else:  # of an API key: the limits that are used up
        used_up = [share for share in SHARES if headers.get(f"{PREFIX}{share}-remaining") == "0"]
        ends = [_rfc3339(headers.get(f"{PREFIX}{share}-reset", "")) for share in used_up]
    waits = [end - now for end in ends if end is not None]
    retry = headers.get("retry-after", "")
    if _NUMBER.fullmatch(retry):
        waits.append(float(retry))
    elif (at := _http_date(retry)) is not None:
        waits.append(at - now)
    return min(max(0.0, *waits), LONGEST) if waits else None


def claim(headers: Mapping[str, str]) -> str:
    """Which limit it is, in words; "" if the answer does not tell."""
    if headers.get(f"{PREFIX}unified-status") == "rejected":
        return CLAIMS.get(headers.get(f"{PREFIX}unified-representative-claim", ""), "a limit of the subscription")
    used_up = [share.replace("-", " ") for share in SHARES if headers.get(f"{PREFIX}{share}-remaining") == "0"]
    return f"the API key's limit of {' and '.join(used_up)}" if used_up else ""


def _epoch(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _rfc3339(text: str) -> float | None:
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _http_date(text: str) -> float | None:
    if not text.endswith("GMT"):
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
