from __future__ import annotations

import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from backend.contract import events as e
from backend.contract.control import Notify, Reply, Request
from backend.contract.events import SessionState, Stamped
from backend.contract.state import State, fold_all
from codetainer_tui import cli
from codetainer_tui.journal import follow
from codetainer_tui.report.content import Report, report, text
from codetainer_tui.report.page import page
from tests.journals import make

JOURNALS = Path(make.__file__).parent


class Page(HTMLParser):
    """Collects the elements, and checks that each is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "line"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def state(name: str) -> State:
    return fold_all(follow(JOURNALS / f"{name}.jsonl", going_on=lambda: False))


def of(name: str, since: float = 0.0) -> Report:
    folded = state(name)
    return report(folded, folded.updated_at, since=since)


def section(made: Report, title: str) -> str:
    found = next(each for each in made.sections if each.title == title)
    return "\n".join([*found.lines, *("  ".join(row) for row in found.rows)])


def test_a_night() -> None:
    made = of("night")
    assert made.period == "2026-01-01 14:00 UTC to 22:00"
    assert made.headline == "READY  the agent is waiting for you since 21:42"
    assert made.needs[0].startswith("Serious refusals that nobody has acknowledged: 1 kind")
    assert round(sum(made.seconds.values())) == 8 * 3600
    assert made.seconds["frozen"] == 720
    assert "15:36  allowed files.example.org read  alex" in section(made, "What happened")
    assert "! budget used up (20 of 20 dollars)" in section(made, "What happened")
    pushed = "https://github.com/octo/repo/tree/parser"
    assert f"push to octo/repo: parser  github.com  {pushed}" in section(made, "Pushed and written")
    assert f'<a href="{pushed}">' in page(made)
    assert "/workspace/notes: 3 files not committed" in section(made, "Work that is only here")
    assert "1 entry without an end: codetainer revoke NAME closes one." in section(made, "Opened by hand, still open")
    assert "files.example.org" not in section(made, "Opened by hand, still open")
    assert "about $31.40" in section(made, "The model")


def test_only_the_last_hours() -> None:
    made = of("night", since=make.BEGUN + 7 * 3600)
    assert made.period == "2026-01-01 21:00 UTC to 22:00"
    assert round(sum(made.seconds.values())) == 3600
    assert "15:36" not in section(made, "What happened")


@pytest.mark.parametrize("name", sorted(make.JOURNALS))
def test_the_page_is_whole_and_loads_nothing(name: str) -> None:
    made = of(name)
    source = page(made)
    found = Page(source)
    assert {tag for tag, _ in found.tags} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "b", "svg", "line", "text", "rect", "circle", "ul",
        "li", "i", "a", "section", "div", "table", "tr", "th", "td",
    }  # fmt: skip
    assert not {"src", "style"} & {attribute for _, attributes in found.tags for attribute in attributes}
    links = [attributes["href"] for tag, attributes in found.tags if "href" in attributes]
    assert all(link and link.startswith("https://github.com/") for link in links)
    assert not [attribute for _, attributes in found.tags for attribute in attributes if attribute.startswith("on")]
    assert source.isascii() or all(character.isprintable() or character == "\n" for character in source)
    assert text(made).replace("\n", "").isprintable()


def test_untrusted_text_stays_text() -> None:
    hostile = '<script>alert(1)</script>" onload="x'
    events = (
        e.BootStarted("1", ()), e.BootFinished(e.BootState.READY, 1.0),
        e.SessionChanged(SessionState.WORKS, hostile, branch=hostile),
        e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, 1, "dns", hostile, program=hostile),
        e.WorkSaved(hostile, problem=hostile), e.WorkCounted((e.RepositoryWork(hostile, hostile, 1, notes=(hostile,)),)),
        e.Carried(hostile, 1, 0, 1, 1, 1.0, marked=hostile), e.Allowed(hostile, by=hostile),
        e.Wrote(hostile, hostile, f"https://github.com/{hostile}"), e.Wrote("a", "b", "javascript:alert(1)"),
    )  # fmt: skip
    folded = fold_all(Stamped(float(at), at, event) for at, event in enumerate(events, 1))
    made = report(folded, 10.0, task=hostile)
    assert "javascript:" not in text(made)
    found = Page(page(made))
    assert "script" not in {tag for tag, _ in found.tags}
    assert "a" not in {tag for tag, _ in found.tags}
    assert "onload" not in {name for _, attributes in found.tags for name in attributes}


def test_it_is_sent_as_a_notification(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Request] = []

    def ask(path: Path, request: Request) -> Reply:
        asked.append(request)
        return Reply(len(asked) == 1, "address 1 (ntfys): delivered")

    monkeypatch.setattr("codetainer_tui.report.ask", ask)
    night = str(JOURNALS / "night.jsonl")
    code, out, _ = run("--journal", night, "--notify", capsys=capsys)
    assert (code, out) == (0, "address 1 (ntfys): delivered\n")
    (request,) = asked
    assert isinstance(request, Notify)
    assert request.report.startswith(run("--journal", night, capsys=capsys)[1][:1000])
    assert run("--journal", night, "--notify", capsys=capsys)[0] == 1


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(["report", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    night = str(JOURNALS / "night.jsonl")
    code, out, _ = run("--journal", night, capsys=capsys)
    assert code == 0
    assert out == text(of("night"))
    code, out, _ = run("--journal", night, "--json", "--since", "90m", capsys=capsys)
    assert json.loads(out)["timeline"]["since"] == make.BEGUN + 6.5 * 3600
    code, out, _ = run("--journal", night, "--json", "--since", "21:15", capsys=capsys)
    assert json.loads(out)["timeline"]["since"] == make.BEGUN + 7.25 * 3600
    written = tmp_path / "night.html"
    code, out, err = run("--journal", night, "--html", str(written), capsys=capsys)
    assert (code, out) == (0, "")
    assert str(written) in err
    assert written.read_text() == page(of("night"))
    assert written.stat().st_mode & 0o777 == 0o600


def test_the_task_must_be_the_one_that_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = tmp_path / "task"
    task.write_bytes(make.PROMPT + b"\n")
    night = str(JOURNALS / "night.jsonl")
    code, out, _ = run("--journal", night, "--task", str(task), capsys=capsys)
    assert code == 0
    assert make.PROMPT.decode() in out
    assert hashlib.sha256(make.PROMPT).hexdigest() in out
    task.write_text("something else")
    code, out, err = run("--journal", night, "--task", str(task), capsys=capsys)
    assert (code, out) == (2, "")
    assert "its SHA-256 is not that of the task given at boot" in err


def test_what_cannot_be_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run("--journal", str(tmp_path / "none"), capsys=capsys)
    assert (code, out) == (2, "")
    assert "there is no journal in it" in err
    code, _, err = run("--journal", str(JOURNALS / "night.jsonl"), "--html", str(tmp_path / "no" / "page"), capsys=capsys)
    assert code == 1
    assert "No such file" in err
    with pytest.raises(SystemExit) as exited:
        run("--since", "yesterday", capsys=capsys)
    assert exited.value.code == 2
    assert "or a time of day such as 22:30" in capsys.readouterr().err


def test_a_learning_run_is_named_first_and_marked() -> None:
    began = Stamped(100.0, 1, e.BootStarted("1", (), learning=True))
    learned = [Stamped(101.0 + n, 2 + n, e.Learned(f"name-{n}.example")) for n in range(2)]
    made = report(fold_all([began, *learned]), 200.0)
    assert made.needs[0].startswith("Learning run: Every public name opens")
    assert "2 names opened" in made.needs[0]
    assert "! boot began, as a learning run" in section(made, "What happened")
    assert "earning" not in text(report(fold_all([Stamped(100.0, 1, e.BootStarted("1", ()))]), 200.0))
