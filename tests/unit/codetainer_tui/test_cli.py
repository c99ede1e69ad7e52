"""The command line: the requests of verbs, and the errors."""

import io
import shlex
from pathlib import Path

import pytest

from backend.contract import control
from backend.contract import events as e
from backend.contract.control import Reply, Request
from backend.contract.paths import Paths
from backend.contract.state import fold_all
from backend.contract.verbs import BACKEND_VERBS
from codetainer_tui import arguments, boot, cli, logs, process, restart
from codetainer_tui import ask as asking


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Records requests; all of them succeed."""
    found: list[Request] = []

    def answer(_path: object, request: Request) -> Reply:
        found.append(request)
        return Reply(True, "done", data={"open": True})  # what explain looks for

    monkeypatch.setattr(asking, "ask", answer)
    return found


REQUESTS: list[tuple[str, Request]] = [
    ("allow a.example", control.Allow("a.example")),
    ("allow a.example --port 443,8443/tls --for 1h", control.Allow("a.example", "443,8443/tls", 3600.0)),
    ("allow *.example --yes", control.Allow("*.example", yes=True)),
    ("revoke a.example", control.Revoke("a.example")),
    ("revoke a.example --port 8443", control.Revoke("a.example", "8443")),
    ("allowed", control.ListAllowed()),
    ("mute a.example", control.Mute("a.example")),
    ("mute a.example --for 5m", control.Mute("a.example", 300.0)),
    ("mute a.example --off", control.Mute("a.example", off=True)),
    ("budget", control.Budget()),
    ("notify", control.Notify()),
    ("notify --test", control.Notify(test=True)),
    ("learned", control.ShowLearned()),
    ("budget +calls=100", control.Budget("+calls=100")),
    ("acknowledge", control.Acknowledge(0.0)),
    ("explain 192.0.2.1:443", control.Explain("192.0.2.1:443")),
    ("work --json", control.CountWork()),
    ("save", control.SaveWork()),
    ("save --off", control.SaveWork(off=True)),
    ("refresh", control.Refresh()),
    ("freeze", control.Freeze()),
    ("thaw", control.Thaw()),
    ("retry", control.Retry()),
    ("session restart", control.RestartSession()),
    ("session restart --yes", control.RestartSession()),
]


@pytest.mark.parametrize(("typed", "request_"), REQUESTS)
def test_a_verb_sends_its_request(typed: str, request_: Request, asked: list[Request]) -> None:
    assert cli.main(typed.split()) == 0
    assert asked == [request_]


@pytest.mark.parametrize("request_", [request for _, request in REQUESTS])
def test_the_command_of_a_request_asks_for_it(request_: Request, asked: list[Request]) -> None:
    assert cli.main(shlex.split(request_.typed())[1:]) == 0
    assert asked == [request_]


def test_every_request_has_a_verb() -> None:
    assert {type(request) for _, request in REQUESTS} == {verb for verb in control.VERBS.values() if not verb.internal}


def test_a_failed_reply_is_printed_with_its_hint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    reply = Reply(False, "only root may ask for this", "ask the operator: codetainer allow a.example")
    monkeypatch.setattr(asking, "ask", lambda *_: reply)
    assert cli.main(["allow", "a.example"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "codetainer: only root may ask for this\n  ask the operator: codetainer allow a.example\n"


def test_names_in_a_reply_are_escaped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(asking, "ask", lambda *_: Reply(True, "one\ntwo \x1b[31m"))
    cli.main(["explain", "a.example"])
    assert capsys.readouterr().out == "one\ntwo \\x1b[31m\n"


@pytest.mark.parametrize("argv", [["up", "--net", "pretend", "--", "sh", "-c", "exit 3"], ["enter"], ["check", "--help"]])
def test_the_backend_gets_its_arguments_unchanged(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(process, "become", became.append)
    cli.main(argv)
    assert became[0][1:] == ["-I", "-m", "backend", *argv]


@pytest.mark.parametrize(
    "argv", [[], ["dance"], ["allow"], ["allow", "a", "--for", "soon"], ["session", "dance"], ["status", "--yaml"], ["--loud"]]
)
def test_usage_errors_end_with_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: int | str | None = cli.main(argv)
    except SystemExit as ended:
        code = ended.code
    assert code == 2


LISTED = "  codetainer --help lists the verbs\n"
NO_VERBS: list[tuple[list[str], str]] = [
    (["stauts"], "cannot run stauts: there is no such verb\n  did you mean codetainer status?\n"),
    (["entre"], "cannot run entre: there is no such verb\n  did you mean codetainer enter?\n"),
    (["xyzzy\x1b"], "cannot run xyzzy\\x1b: there is no such verb\n"),
    (["--loud"], "cannot run --loud: a verb comes first\n"),
    (["help", "xyzzy"], "cannot run xyzzy: there is no such verb\n"),
]


@pytest.mark.parametrize(("argv", "says"), NO_VERBS)
def test_an_unknown_verb_is_reported_with_the_nearest_one(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2
    assert capsys.readouterr().err == f"codetainer: {says}{LISTED}"


OWN_VERBS = sorted({*arguments.VERBS} - {*BACKEND_VERBS})


@pytest.mark.parametrize("verb", OWN_VERBS)
def test_every_verb_reports_unknown_options_with_its_own_usage(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    positional = {"session": ["restart"], **{named: ["a.example"] for named in ("allow", "revoke", "mute", "explain")}}
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, *positional.get(verb, []), "--bla"])
    assert ended.value.code == 2
    output = capsys.readouterr().err
    assert output.startswith(f"codetainer: cannot run {verb}: there is no option --bla\n")
    assert f"\n  usage: codetainer {verb} [-h]" in output


@pytest.mark.parametrize("verb", OWN_VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    assert f"codetainer {verb}" in capsys.readouterr().out


REPLAYS: list[tuple[list[str], int, str]] = [
    (["--size", "foo"], 2, "expected WIDTHxHEIGHT in characters, such as 120x40"),
    (["--size", "99999x2"], 2, "cannot draw '99999x2'"),
    (["--speed", "nan"], 2, "cannot play 'nan' times as fast"),
    (["--speed", "-1"], 2, "expected 0 or more"),
    (["--picture", "/nonexistent/x.svg"], 1, "cannot write /nonexistent/x.svg: No such file or directory"),
]


@pytest.mark.parametrize(("argv", "code", "says"), REPLAYS)
def test_replay_errors_name_the_reason(argv: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Path(__file__).parents[2] / "journals/booting.jsonl"
    try:
        ended: int | str | None = cli.main(["dashboard", "--replay", str(journal), *argv])
    except SystemExit as done:
        ended = done.code
    assert ended == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(("text", "says"), [("root:x:0:0\n", "not a journal"), ("", "not a journal"), (None, "no such file")])
def test_only_journals_are_replayed(text: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "journal"
    if text is not None:
        file.write_text(text)
    assert cli.main(["dashboard", "--replay", str(file)]) == 1
    assert says in capsys.readouterr().err


class Typed(io.StringIO):
    """Input typed at a terminal."""

    def isatty(self) -> bool:
        return True


WORKS, IDLE = e.SessionChanged(e.SessionState.WORKS), e.SessionChanged(e.SessionState.IDLE)
WAITS, ENDED = e.SessionChanged(e.SessionState.WAITS), e.SessionChanged(e.SessionState.ENDED)
RESTARTS: list[tuple[e.SessionChanged, io.StringIO, int, bool, str]] = [
    (WORKS, io.StringIO(), 1, False, "cannot restart the session: the agent is working, and a restart interrupts it\n"),
    (WAITS, io.StringIO(), 0, True, ""),  # the agent's turn is over, so nothing is interrupted
    (
        WORKS,
        Typed("n\n"),
        1,
        False,
        "The agent is working, and a restart interrupts it. Restart? [y/N] codetainer: the session was not restarted",
    ),
    (WORKS, Typed(""), 1, False, "was not restarted"),
    (WORKS, Typed("yes\n"), 0, True, "[y/N]"),
    (IDLE, io.StringIO(), 0, True, ""),
    (ENDED, io.StringIO(), 0, True, ""),
]


@pytest.mark.parametrize(("doing", "stdin", "code", "done", "says"), RESTARTS)
def test_a_restart_asks_before_it_interrupts_the_agent(
    doing: e.SessionChanged, stdin: io.StringIO, code: int, done: bool, says: str,
    asked: list[Request], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(restart, "current", lambda _: fold_all([e.Stamped(1.0, 1, doing)]))
    monkeypatch.setattr("sys.stdin", stdin)
    assert cli.main(["session", "restart"]) == code
    assert asked == ([control.RestartSession()] if done else [])
    assert says in capsys.readouterr().err
    assert cli.main(["session", "restart", "--yes"]) == 0


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["allow", "a.example", "--port", "22"], "codetainer allow a.example --port 22"),
        (["allow", "*.example.com", "--port", "8443"], "codetainer allow '*.example.com' --port 8443"),
        (["revoke", "a; id"], "codetainer revoke 'a; id'"),
        (["mute", "$(id)"], "codetainer mute '$(id)'"),
        (["allow", "a.example", "--yes", "--for", "90m"], "codetainer allow a.example --for 90m --yes"),
        (["mute", "a.example", "--off"], "codetainer mute a.example --off"),
        (["save", "--off"], "codetainer save --off"),
        (["session", "restart", "--yes"], "codetainer session restart"),
        (["explain", "a\nb"], "codetainer explain $'a\\012b'"),
    ],
)
def test_hints_contain_the_command_as_the_operator_would_type_it(
    argv: list[str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[str] = []

    def ask(_: object, request: Request) -> Reply:
        typed.append(request.typed())
        return Reply(True, data={"open": True})

    monkeypatch.setattr(asking, "ask", ask)
    assert cli.main(argv) == 0
    assert typed == [command]


def test_boot_with_debug_tells_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, str] = {}
    monkeypatch.setattr(process, "change_environment", changes.update)
    monkeypatch.setattr(boot, "lines", lambda *_, **__: 0)
    assert cli.main(["boot", "--no-tui"]) == 0
    assert changes == {}
    assert cli.main(["boot", "--no-tui", "--debug"]) == 0
    assert changes == {"CODETAINER_DEBUG": "on"}


def test_the_debug_log_is_printed_from_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = Paths(tmp_path)
    assert logs.debug(paths, go_on=False, as_json=False) == 2
    assert "Boot with --debug or CODETAINER_DEBUG=on" in capsys.readouterr().err
    paths.run.mkdir(parents=True)
    paths.debug_log.with_name("debug.log.1").write_text("first\n")
    paths.debug_log.write_bytes(b"second \x1b[2J \xff\nhalf of a li")
    assert logs.debug(paths, go_on=False, as_json=False) == 0
    assert capsys.readouterr().out == "first\nsecond \\x1b[2J \ufffd\n"


@pytest.mark.parametrize("argv", [["logs", "--debug", "--json"], ["logs", "--debug", "--traffic"]])
def test_options_that_exclude_the_debug_log(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = cli.main(argv)
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        code = ended.code
    assert code == 2
    assert "--debug" in capsys.readouterr().err
