"""The ways in which the installed libtmux starts tmux, and how our server closes them."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import libtmux
import pytest

from backend.agent.session import Session
from backend.contract.paths import Paths
from backend.session import session
from backend.session.server import Answer, Server
from backend.system import Finished, SystemFailure

LIBRARY = Path(str(libtmux.__file__)).parent
NOT_USED = ("pytest_plugin.py", "test/", "_internal/control_mode.py")  # no other module of libtmux imports these
STARTS = {"Popen", "call", "check_call", "check_output", "run", "system", "posix_spawn", "fork", "execvp", "tmux_cmd"}
VERSION = re.compile(r"(get|_query)_version(_str)?|has_\w*version")


def calls(path: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """All calls in a module: the enclosing function, the name of the called function, and the call."""

    def walk(node: ast.AST, within: str) -> Iterator[tuple[str, str, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Name | ast.Attribute):
                yield within, child.func.id if isinstance(child.func, ast.Name) else child.func.attr, child
            if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                yield from walk(child, f"{within}.{child.name}".lstrip("."))
            else:
                yield from walk(child, within)

    return walk(ast.parse(path.read_text()), "")


def library() -> Iterator[tuple[str, str, str, ast.Call]]:
    for path in sorted(LIBRARY.rglob("*.py")):
        name = str(path.relative_to(LIBRARY))
        if not name.startswith(NOT_USED):
            for within, called, call in calls(path):
                yield name, within, called, call


def test_all_ways_in_which_libtmux_starts_processes_are_closed() -> None:
    """A new version with another way fails here: close it in Server before using that version."""
    ways = {(name, within, called) for name, within, called, _ in library() if called in STARTS}
    assert ways == {
        ("common.py", "tmux_cmd.__init__", "Popen"),
        ("common.py", "_query_version", "tmux_cmd"),  # tmux_bin
        ("neo.py", "fetch_objs", "tmux_cmd"),  # tmux_bin
        ("server.py", "Server.cmd", "tmux_cmd"),  # ours
        ("server.py", "Server.raise_if_dead", "check_call"),  # tmux_bin
    }


def test_versions_are_queried_with_the_servers_tmux_bin_only() -> None:
    """Without `tmux_bin`, or with None, libtmux would start the first tmux in PATH."""
    queries = [
        (name, within, call) for name, within, called, call in library() if VERSION.fullmatch(called) and name != "common.py"
    ]
    assert len(queries) > 50
    for name, within, call in queries:
        values = [ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "tmux_bin"]
        assert values and values[0] in ("self.tmux_bin", "self.server.tmux_bin", "server.tmux_bin", "self._tmux_bin"), (
            name,
            within,
        )


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(Paths(tmp_path))


def test_methods_that_would_start_tmux_are_refused(server: Server) -> None:
    with pytest.raises(SystemFailure, match="it would start tmux itself"):
        _ = server.tmux_bin
    for method in (lambda: server.sessions, lambda: server.panes, server.raise_if_dead, lambda: server.new_session("x")):
        with pytest.raises((SystemFailure, RuntimeError)):
            method()


def test_commands_are_sent_within_perform_only(server: Server) -> None:
    with pytest.raises(RuntimeError, match=r"within Server\.perform only"):
        server.cmd("kill-server")


def test_a_call_without_commands_starts_no_process(server: Server) -> None:
    assert asyncio.run(server.perform(lambda tmux: tmux.socket_path)) == server.socket_path


def answer(out: str = "", err: str = "", code: int = 0) -> Answer:
    return Answer(Finished(("tmux",), code, out, err))


@pytest.mark.parametrize(
    ("out", "lines"),
    [("", []), ("\n", []), ("one\n", ["one"]), ("one\n\ntwo\n\n", ["one", "", "two"]), ("\none", ["", "one"])],
)
def test_an_answer_has_libtmuxs_form(out: str, lines: list[str]) -> None:
    made = answer(out)
    assert (made.returncode, made.stdout, made.stderr) == (0, lines, [])
    failed = answer(err=out, code=1)
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, [], [line for line in lines if line])


def test_an_answer_with_process_and_pane_ids_is_parsed() -> None:
    assert session._session(answer("12 345 %0\n")) == Session(12, 345, "%0")


@pytest.mark.parametrize(
    "out",
    [
        "", "\n", "12", "12 345", "0 345 %0", "12 0 %0", "-12 345 %0", "12 -1 %0", "12 345 0", "12 345 %0 more",
        "12 345 %0\nmore", "12 345 %0\t", "12.0 345 %0", "1e3 345 %0", "0x10 345 %0", "\u0661\u0662 345 %0",
        "99999999999 345 %0", "12 345 %-1", "12 345 =claude", "12 345 %0;kill-server", " 12 345 %0", "\n12 345 %0",
        "\x1b[2J12 345 %0", "12\x00345 %0", "y\n" * 2048,
    ],
)  # fmt: skip
def test_any_other_answer_is_refused(out: str) -> None:
    with pytest.raises(SystemFailure, match="tmux did not answer with process and pane ids"):
        session._session(answer(out))


def test_the_error_names_tmuxs_reason() -> None:
    with pytest.raises(SystemFailure, match="cannot start the session: create window failed"):
        session._session(answer("12 345 %0\n", "no space\ncreate window failed\n", 1))
    with pytest.raises(SystemFailure, match="cannot start the session: exit code 3"):
        session._session(answer(code=3))
