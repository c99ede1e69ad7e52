"""The wording of refusals: complete, short, safe in HAProxy's configuration, Lua, JSON and a shell, and used."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from backend.contract.events import Reason
from network import reasons
from network.gate import wording

ROOT = Path(reasons.__file__).parents[1]
TEXTS = [*reasons.ADVICE, *reasons.ADVICE.values(), *reasons.DETAILS.values(), reasons.HIDDEN]
# HAProxy interprets the others in its configuration, Lua and JSON in strings.
SAFE = set(string.ascii_letters + string.digits + " .,:;/-_{}'()")


def test_each_reason_has_a_constant_and_a_remedy() -> None:
    assert {str(reason) for reason in Reason} == {*reasons.ADVICE}
    assert {reason.name.lower(): str(reason) for reason in Reason} == dict(wording.REASONS)


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_has_a_character_with_another_meaning(text: str) -> None:
    assert set(text) <= SAFE


def test_each_remedy_is_a_sentence() -> None:
    wrong = [text for text in reasons.ADVICE.values() if not (text[0].isupper() and text.endswith("."))]
    assert wrong == []
    assert [text for text in reasons.ADVICE if text.endswith(".")] == []


def test_each_detail_is_used() -> None:
    sources = [*(ROOT / "network/gate").glob("*.lua"), *(ROOT / "network/gate").glob("*.py")]
    text = "".join(path.read_text() for path in sources)
    assert [key for key in reasons.DETAILS if not re.search(rf'["\.]{key}"|Details\.{key}\b', text)] == []


def test_each_detail_that_the_gate_names_exists() -> None:
    """In Lua, an unknown one would be a failed check."""
    for path in (ROOT / "network/gate").glob("*.lua"):
        text = path.read_text()
        named = {*re.findall(r'\b(?:refuse|absent)\("(\w+)"', text), *re.findall(r"\bDetails\.(\w+)", text)}
        assert named <= {*reasons.DETAILS}
        assert {*re.findall(r'refuse\((?:"\w+"|nil), [\w.:(), ]+, "(\w+)"\)', text)} <= {*wording.REASONS}


def test_verdicts_are_read_back() -> None:
    assert wording.parse_verdict(wording.verdict(reasons.UNCLEAR, "url")) == (reasons.UNCLEAR, reasons.DETAILS["url"])
    assert wording.parse_verdict(wording.verdict(reasons.NOT_OURS)) == (reasons.NOT_OURS, "")
    assert [wording.parse_verdict(word) for word in ("carried", "silent", "-", "")] == [None] * 4


@pytest.mark.parametrize(
    ("reason", "name", "port", "remedy"),
    [
        (reasons.NOT_LISTED, "a.example", 443, "The operator can run codetainer allow a.example to open it."),
        (reasons.PORT_NOT_LISTED, "a.example", 22, "The operator can run codetainer allow a.example --port 22 to open it."),
        (reasons.NOT_LISTED, "", 0, "No entry of the allowlist can open it."),
        (reasons.ANOTHER_SITE, "a.example", 443, "This host is not on the allowlist, although another one at its address is."),
        ("a reason of a later version", "a.example", 443, ""),
    ],
)
def test_the_remedy_for_a_name(reason: str, name: str, port: int, remedy: str) -> None:
    assert reasons.advice(reason, name, port) == remedy


def test_the_lua_file_names_the_repositories() -> None:
    text = wording.lua(("octo/repo", "friend/*"))
    assert '  push_scope = "Writes go to octo/repo, friend/* only;' in text
    assert '  push_scope = "Writes go to no repository only;' in wording.lua(())
    assert "{repositories}" not in text
