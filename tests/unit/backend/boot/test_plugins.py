from __future__ import annotations

from typing import Any

import pytest

from backend.boot.steps.plugins import Wanted, wanted

GITHUB = {"source": {"source": "github", "repo": "example/plugins"}}
URL = {"source": {"source": "git", "url": "https://git.example/plugins.git"}}
FOLDER = {"source": {"source": "directory", "path": "/opt/plugins"}}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Wanted((), ())),
        ({"enabledPlugins": {"a@m": False}}, Wanted((), ())),
        (
            {"enabledPlugins": {"a@m": True, "b@m": True}, "extraKnownMarketplaces": {"m": GITHUB, "other": URL}},
            Wanted(("a@m", "b@m"), ("example/plugins",)),
        ),
        ({"enabledPlugins": {"a@u": True}, "extraKnownMarketplaces": {"u": URL}}, Wanted(("a@u",), ("https://git.example/plugins.git",))),
        ({"enabledPlugins": {"a@p": True}, "extraKnownMarketplaces": {"p": FOLDER}}, Wanted(("a@p",), ("/opt/plugins",))),
        ({"enabledPlugins": {"gopls-lsp@claude-plugins-official": True}},
         Wanted(("gopls-lsp@claude-plugins-official",), ("anthropics/claude-plugins-official",))),
        ({"enabledPlugins": ["a@m"], "extraKnownMarketplaces": 3}, Wanted((), ())),
    ],
)  # fmt: skip
def test_what_settings_enable(settings: dict[str, Any], expected: Wanted) -> None:
    assert wanted(settings) == expected
