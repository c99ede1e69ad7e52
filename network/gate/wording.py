"""The words of refusals (network/reasons.py) for the gate: its answers, the verdicts in its log, and a Lua file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from network import reasons

# The reasons by the word that the gate logs: a constant's name in lower case. A detail may follow, as in `unclear.url`.
REASONS: Mapping[str, str] = {
    name.lower(): text for name, text in vars(reasons).items() if isinstance(text, str) and text in reasons.ADVICE
}
_VERDICTS = {text: name for name, text in REASONS.items()}


def verdict(reason: str, detail: str = "") -> str:
    """The word in the log for a reason and, if any, a key of DETAILS."""
    return _VERDICTS[reason] + (f".{detail}" if detail else "")


def parse_verdict(word: str) -> tuple[str, str] | None:
    """The reason and the detail (a phrase, or "") of a verdict. None if it is not that of a refusal."""
    name, _, detail = word.partition(".")
    return (REASONS[name], reasons.DETAILS.get(detail, "")) if name in REASONS else None


def sentence(reason: str, detail: str = "", repositories: Iterable[str] = ()) -> str:
    """The sentence for the client. `detail` is a key of DETAILS; `repositories` are those that may be written to."""
    remedy = reasons.advice(reason, repositories=_writable(repositories))
    return reasons.sentence(reason, remedy, reasons.DETAILS[detail] if detail else "")


def about_name(reason: str) -> str:
    """The sentence about the name and port of a request, in HAProxy's log format."""
    name, port = "%[var(txn.name)]", "%[var(txn.port)]"
    return f"{name}: {reasons.sentence(reason, reasons.advice(reason, name, port))}"


def _writable(repositories: Iterable[str]) -> str:
    return ", ".join(repositories) or "no repository"


def lua(repositories: Iterable[str]) -> str:
    """A Lua file that defines the tables Reasons and Remedies (by verdict) and Details, and the function `sentence`."""
    writable = _writable(repositories)
    remedies = {name: reasons.advice(text, repositories=writable) for name, text in REASONS.items()}
    tables = {"Reasons": REASONS, "Remedies": remedies, "Details": reasons.DETAILS}
    return "".join(f"{name} = {_table(values)}\n" for name, values in tables.items()) + _SENTENCE


def _table(values: Mapping[str, str]) -> str:
    # JSON strings of printable ASCII without backslashes are Lua strings.
    return "{\n" + "".join(f"  {key} = {json.dumps(value)},\n" for key, value in values.items()) + "}"


_SENTENCE = """
-- The sentence for the client: the reason, a detail that may be "", and the remedy.
function sentence(verdict, detail)
  return Reasons[verdict] .. (detail ~= "" and ": " .. detail or "") .. ". " .. Remedies[verdict]
end
"""
