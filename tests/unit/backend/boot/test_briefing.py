from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import settings
from backend.agent import agent
from backend.boot import briefing
from backend.boot.briefing import BEGIN, END, MAX_NAMES, merged, render
from backend.contract.paths import Paths
from backend.session import reports
from network.allowlist import Allowlist, parse_words

REPOSITORY = "https://github.com/example/demo"
ENVIRONMENT = {"GH_PAT": "ghp_x", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"}


def listed(text: str) -> Allowlist:
    return parse_words(text, "test").allowlist


def test_the_section_names_open_hosts_and_writable_repositories() -> None:
    loaded = settings.load({**ENVIRONMENT, "REPO_URL": REPOSITORY})
    text = render(loaded, listed("example.com *.example.org plain.example:80"))
    assert text.startswith(BEGIN)
    assert text.endswith(END + "\n")
    for part in (
        "example.com, *.example.org, plain.example:80",
        "example/demo only",
        "/workspace (512 MB)",
        "/tmp (512 MB)",
        "home (1 GB)",
    ):
        assert part in text
    assert "ghp_x" not in text
    inside = settings.load({**ENVIRONMENT, "CODETAINER_CREDENTIALS": "inside"})
    assert "placeholders" not in render(inside, listed(""))
    assert "wip/" not in text
    assert "mentions are refused" not in text
    searched = settings.load({**ENVIRONMENT, "CODETAINER_REFERENCES": "refuse"})
    assert "mentions are refused" in render(searched, listed(""))
    assert "wip/" in render(settings.load({**ENVIRONMENT, "CODETAINER_AUTOSAVE": "10m", "REPO_URL": REPOSITORY}), listed(""))


def test_the_section_without_hosts_and_repositories() -> None:
    text = render(settings.load({**ENVIRONMENT, "CODETAINER_TMPFS_TMP": "100m"}), listed(""))
    for part in ("only these names, over TCP: none.", "go to no repository only", "/tmp (100 MB)"):
        assert part in text


def test_a_long_allowlist_is_shortened() -> None:
    text = render(settings.load(ENVIRONMENT), listed(" ".join(f"n{i}.example" for i in range(MAX_NAMES + 5))))
    assert "and 5 more" in text
    assert f"n{MAX_NAMES}.example" not in text


def test_the_section_is_replaced_and_the_rest_stays() -> None:
    section = f"{BEGIN}\nnew\n{END}\n"
    assert merged("", section) == section
    assert merged("mine\n", section) == f"mine\n\n{section}"
    assert merged(f"before\n{BEGIN}\nold\n{END}\nafter\n", section) == f"before\n{section}after\n"
    assert merged(f"{END} upside down {BEGIN}", section).endswith(section)


def test_an_unchanged_file_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write starts a process as the agent, and the agent could interfere with it."""
    paths = Paths(tmp_path)
    files = {briefing.place(paths): "mine\n"}
    written: list[str] = []

    def write(file: Path, text: str) -> None:
        files[file] = text
        written.append(text)

    monkeypatch.setattr(reports, "read_report", files.get)
    monkeypatch.setattr(agent, "write", write)
    loaded = settings.load(ENVIRONMENT)
    for names in ("a.example", "a.example", "b.example"):
        briefing.write(loaded, paths, listed(names))
    assert [("a.example" in text, "b.example" in text) for text in written] == [(True, False), (False, True)]
    assert all(text.startswith("mine\n\n" + BEGIN) for text in written)


@given(st.lists(st.sampled_from((BEGIN, END, "text", "\n"))).map("".join))
def test_merging_again_changes_nothing(before: str) -> None:
    section = f"{BEGIN}\nnew\n{END}\n"
    once = merged(before, section)
    assert merged(once, section) == once
