import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.hooks import session_namer


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("fixing-auth-bug", "fixing-auth-bug"),
        ("  Fixing Auth Bug.\n", "fixing-auth-bug"),
        ("`fixing_auth_bug`", "fixing-auth-bug"),
        ("\n\nfirst-line\nsecond line", "first-line"),
        ("$(reboot); tmux kill-server", "reboot-tmux-kill-server"),
        ("-t=0", "t-0"),
        ("a.b:c", "a-b-c"),
        ("\x1b]0;x\x07", "0-x"),
        ("日本", ""),
        ("", ""),
        ("x" * 100, "x" * session_namer.MAX_NAME),
        ("one " * 30, "one-one-one-one-one-one-one-one-one-one"),
    ],
)
def test_kebab(answer: str, name: str) -> None:
    assert session_namer.kebab(answer) == name


@given(st.text())
def test_any_answer_gives_a_name_that_tmux_accepts(answer: str) -> None:
    name = session_namer.kebab(answer)
    assert name == "" or re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= session_namer.MAX_NAME


def transcript(tmp_path: Path, *entries: object) -> str:
    path = tmp_path / "transcript.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return str(path)


def test_first_request_skips_other_entries_and_later_requests(tmp_path: Path) -> None:
    path = transcript(
        tmp_path,
        {"type": "summary", "summary": "x"},
        {"type": "user", "isMeta": True, "message": {"content": "caveat"}},
        {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": "mend the"}, {"text": "login"}, 3]}},
        {"type": "user", "message": {"content": "later"}},
    )
    assert session_namer.first_request(path) == "mend the login"


@pytest.mark.parametrize("entry", [[], None, 3, {"type": "user"}, {"type": "user", "message": {"content": {}}}])
def test_a_transcript_with_an_unknown_structure_gives_no_request(tmp_path: Path, entry: object) -> None:
    assert session_namer.first_request(transcript(tmp_path, entry)) == ""


def test_a_missing_transcript_gives_no_request(tmp_path: Path) -> None:
    assert session_namer.first_request(str(tmp_path / "none")) == ""
    assert session_namer.first_request("nul\0byte") == ""


def test_a_session_is_named_once(tmp_path: Path) -> None:
    names = str(tmp_path / "names")
    assert session_namer.claim(names, "abc-1") == f"{names}/abc-1"
    assert session_namer.claim(names, "abc-1") == ""
    assert session_namer.claim(names, "abc-2") != ""


@pytest.mark.parametrize("session", ["", "..", "../x", "a/b", "-", "a\nb", "x" * 65])
def test_a_session_id_cannot_be_a_path(tmp_path: Path, session: str) -> None:
    assert session_namer.claim(str(tmp_path), session) == ""
    assert list(tmp_path.iterdir()) == []


def test_the_question_is_bounded() -> None:
    assert len(session_namer.question("x" * 10**6, "y" * 10**6)) < 3 * session_namer.MAX_EXCERPT


@pytest.mark.parametrize("text", [b"", b"[", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_malformed_input_is_ignored(text: bytes) -> None:
    assert session_namer.parse(text) == {}


def test_the_claude_that_chooses_a_name_is_not_named_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(session_namer.MARK, "1")
    monkeypatch.setattr(sys, "argv", ["session_namer.py", str(tmp_path / "session.json"), "socket"])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b'{"session_id": "abc-1"}')))
    session_namer.main()
    assert list(tmp_path.iterdir()) == []


def answers(code: int, output: str, calls: list[list[str]]) -> object:
    """A replacement for `subprocess.run` that returns a fixed result and records calls."""

    def run(argv: list[str], **more: object) -> object:
        calls.append(argv)
        if argv[0] == "claude":
            assert isinstance(environment := more["env"], dict)
            assert environment[session_namer.MARK] == "1"
            assert "mend the login" in str(more["input"])
        return SimpleNamespace(returncode=code, stdout=output)

    return run


def asked_to_name(tmp_path: Path) -> dict[str, object]:
    return {"transcript_path": transcript(tmp_path, {"type": "user", "message": {"content": "mend the login"}})}


def test_the_name_is_stored_and_the_session_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", answers(0, "Mending the login\n", calls))
    monkeypatch.setenv("TMUX_PANE", "%3")
    path = tmp_path / "name"
    session_namer.name_session(str(path), "socket", asked_to_name(tmp_path))
    assert path.read_text() == "mending-the-login"
    assert calls[1:] == [["tmux", "-S", "socket", "rename-session", "-t", "%3", "mending-the-login"]]


@pytest.mark.parametrize("pane", ["", "%", "=claude", "%1\n"])
def test_an_invalid_pane_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pane: str) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", answers(0, "x", calls))
    monkeypatch.setenv("TMUX_PANE", pane)
    session_namer.rename("socket", "x")
    assert calls == [["tmux", "-S", "socket", "rename-session", "x"]]


@pytest.mark.parametrize(("code", "output"), [(1, "Credit balance is too low"), (0, ""), (0, "…")])
def test_errors_and_empty_answers_give_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, output: str) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", answers(code, output, calls))
    session_namer.name_session(str(tmp_path / "name"), "socket", asked_to_name(tmp_path))
    assert [call[0] for call in calls] == ["claude"]
    assert not (tmp_path / "name").exists()


@pytest.mark.parametrize("error", [FileNotFoundError("claude"), subprocess.TimeoutExpired("claude", 60)])
def test_a_claude_that_fails_gives_no_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fails)
    assert session_namer.ask("x") == ""
