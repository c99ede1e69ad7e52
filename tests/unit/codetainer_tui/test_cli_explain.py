"""The exit code of `codetainer explain` is its answer."""

from __future__ import annotations

import pytest

from backend.contract import control
from backend.contract.control import Reply, Request
from codetainer_tui import ask as asking
from codetainer_tui import cli


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(True, "x", data={"open": True}), 0),
        (Reply(True, "x", data={"open": False}), 1),
        (Reply(False, "cannot explain 'x y'"), 2),
        (Reply(False, "no sandbox is running here"), 2),
    ],
)
def test_explain_exits_with_what_would_happen(reply: Reply, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def ask(_: object, request: Request) -> Reply:
        asked.append(request)
        return reply

    monkeypatch.setattr(asking, "ask", ask)
    assert cli.main(["explain", "192.0.2.1:443"]) == code
    assert asked == [control.Explain("192.0.2.1:443")]
