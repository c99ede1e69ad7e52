"""Rules for the workflows: actions pinned by commit, permissions by job, no untrusted text in a shell."""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.documentation import ROOT

WORKFLOWS = {path.name: path.read_text() for path in sorted((ROOT / ".github/workflows").glob("*.y*ml"))}
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v[0-9]+(\.[0-9]+)*$")
PERMISSIONS = {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"}


def jobs(text: str) -> dict[str, Any]:
    content = yaml.safe_load(text)["jobs"]
    assert isinstance(content, dict)
    return content


def steps(text: str) -> Iterator[dict[str, Any]]:
    for job in jobs(text).values():
        yield from job["steps"]


def unpinned(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if "uses:" in line and not PINNED.search(line)]


def test_there_is_a_workflow() -> None:
    assert "ci.yml" in WORKFLOWS


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_commit_with_their_version_beside(name: str) -> None:
    assert unpinned(WORKFLOWS[name]) == []


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        (f"      - uses: actions/checkout@{'0' * 40} # v6.0.2", False),
        (f"        uses: anchore/sbom-action/download-syft@{'a1' * 20} # v0.24.0", False),
        ("      - uses: actions/checkout@v6", True),
        (f"      - uses: actions/checkout@{'0' * 40}", True),
        (f"      - uses: actions/checkout@{'0' * 39} # v6.0.2", True),
        ("      - uses: docker://alpine:3", True),
    ],
)
def test_unpinned(line: str, caught: bool) -> None:
    assert bool(unpinned(line)) is caught


@pytest.mark.parametrize("name", WORKFLOWS)
def test_one_action_has_one_version(name: str) -> None:
    pins: dict[str, set[str]] = {}
    for action, commit in re.findall(r"uses: ([\w-]+/[\w-]+)\S*?@([0-9a-f]{40})", WORKFLOWS[name]):
        pins.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in pins.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_permissions_are_empty_by_default_and_few_by_job(name: str) -> None:
    assert yaml.safe_load(WORKFLOWS[name])["permissions"] == {}
    for job, content in jobs(WORKFLOWS[name]).items():
        assert content["permissions"].items() <= PERMISSIONS.items(), job
        assert 0 < content["timeout-minutes"] <= 120, job


@pytest.mark.parametrize("name", WORKFLOWS)
def test_jobs_that_can_write_run_no_code_of_the_repository_and_no_pull_request(name: str) -> None:
    for job, content in jobs(WORKFLOWS[name]).items():
        if "write" in content["permissions"].values():
            assert not any("checkout" in step.get("uses", "") for step in content["steps"]), job
            assert content["if"] == "github.event_name != 'pull_request'", job


@pytest.mark.parametrize("name", WORKFLOWS)
def test_shells_get_values_from_the_environment(name: str) -> None:
    """GitHub pastes an expression into the script as text, and a branch name or title could contain shell code."""
    assert [step["run"] for step in steps(WORKFLOWS[name]) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_token_does_not_stay_in_the_clone(name: str) -> None:
    checkouts = [step for step in steps(WORKFLOWS[name]) if step.get("uses", "").startswith("actions/checkout@")]
    assert [step for step in checkouts if step["with"].get("persist-credentials") is not False] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_workflow_runs_with_the_rights_of_the_target_of_a_pull_request(name: str) -> None:
    assert "pull_request_target" not in WORKFLOWS[name] and "workflow_run" not in WORKFLOWS[name]


def test_everything_is_built_for_both_architectures_before_it_is_published() -> None:
    ci = jobs(WORKFLOWS["ci.yml"])
    assert {entry["architecture"] for entry in ci["build"]["strategy"]["matrix"]["include"]} == {"amd64", "arm64"}
    assert set(ci["publish"]["needs"]) == {"python", "test", "build"}


def test_the_oldest_python_and_that_of_the_image_are_tested() -> None:
    matrix = jobs(WORKFLOWS["ci.yml"])["python"]["strategy"]["matrix"]["include"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    image = re.search(r"debian:(\w+)-slim", (ROOT / "Dockerfile").read_text())
    assert image is not None
    assert project["requires-python"] == f">={matrix[0]['python']}"
    assert [entry["suite"] for entry in matrix] == ["bookworm", image[1]]


def test_subjects_of_commits_are_checked_with_their_base() -> None:
    """The check needs the base branch's history to know which commits are new."""
    checkout, run = jobs(WORKFLOWS["ci.yml"])["python"]["steps"]
    assert checkout["with"]["fetch-depth"] == 0
    assert "GITHUB_BASE_REF" in run["run"] and "make lint" in run["run"]


def test_the_files_that_renovate_updates_exist_and_are_complete() -> None:
    renovate = json.loads((ROOT / ".github/renovate.json").read_text())
    named = re.findall(r"[\w./-]+\.(?:yml|json|txt|toml|mod)|Dockerfile", renovate["description"][0])
    folders = (ROOT / "backend", ROOT / "network")
    lock_files = (
        path
        for folder in folders
        for name in ("go.mod", "package-lock.json", "requirements*.txt")
        for path in folder.rglob(name)
    )
    locks = {str(path.relative_to(ROOT)) for path in lock_files}
    assert [file for file in named if not (ROOT / file).is_file()] == []
    assert locks - set(named) == set()
