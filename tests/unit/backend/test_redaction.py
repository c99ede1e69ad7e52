"""Secrets in text: removed in every spelling; other text stays unchanged."""

from __future__ import annotations

import base64
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.redaction import Redaction

SECRET = "ghp_planted/github+token~="
REDACTED = Redaction([("GH_PAT", SECRET), ("KEY", "sk-ant-planted")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SECRET, "<GH_PAT>"),
        (f"https://x-access-token:{SECRET}@github.com/a", "https://x-access-token:<GH_PAT>@github.com/a"),
        (f"{SECRET}{SECRET} sk-ant-planted", "<GH_PAT><GH_PAT> <KEY>"),
        (quote(SECRET, safe=""), "<GH_PAT>"),
        (quote(SECRET).lower(), "<GH_PAT>"),
        ("".join(f"%{byte:02x}" for byte in SECRET.encode()), "<GH_PAT>"),
        (json.dumps({"token": SECRET}).replace("/", "\\/"), '{"token": "<GH_PAT>"}'),
        (SECRET.replace("/", "\\u002F"), "<GH_PAT>"),
        ("ghp_planted", "ghp_planted"),
        ("", ""),
    ],
)
def test_spellings(text: str, expected: str) -> None:
    assert REDACTED(text) == expected


@pytest.mark.parametrize("before", ["", "x", "xy", "x-access-token:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_at_every_offset(before: str, encode: object) -> None:
    assert callable(encode)
    encoded = encode(f"{before}{SECRET}:after".encode()).decode()
    output = REDACTED(f"authorization: basic {encoded}")
    assert "<GH_PAT>" in output
    assert encoded[len(before) * 2 + 4 : len(before) * 2 + 12] not in output
    assert REDACTED(quote_plus(encoded)) != quote_plus(encoded)


def test_a_secret_that_contains_another_is_removed_whole() -> None:
    assert Redaction([("SHORT", "planted"), ("LONG", "planted-and-more")])("planted-and-more, planted") == "<LONG>, <SHORT>"


def test_a_quote_in_shell_syntax() -> None:
    assert Redaction([("HEADERS", "it's one")])(shlex.quote("k=it's one")) == "'k=<HEADERS>'"


def test_without_secrets_nothing_changes() -> None:
    assert Redaction([])("text") == "text"
    assert Redaction([("EMPTY", "")])("text") == "text"


TOKEN = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=60)
AROUND = st.text(st.characters(codec="utf-8"), max_size=20)


@given(TOKEN, AROUND, AROUND)
def test_no_token_survives(token: str, before: str, after: str) -> None:
    redacted = Redaction([("T", token)])
    whole = f"{before}{token}{after}"
    encoded = base64.b64encode(whole.encode()).decode()
    for text in (whole, quote(whole, safe=""), quote(whole), encoded, base64.urlsafe_b64encode(whole.encode()).decode()):
        output = redacted(text)
        assert "<T>" in output
        assert token not in output.replace("<T>", "") or token in before + after


def test_a_run_of_backslashes_takes_no_longer_than_other_text() -> None:
    """The agent chooses some of the text. Quadratic time would keep the supervisor busy for minutes."""
    assert Redaction([("T", "\\" * 3 + "x")])("\\" * 200_000) == "\\" * 200_000
