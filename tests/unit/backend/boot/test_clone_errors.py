"""What git prints when a clone fails, and what an operator reads instead."""

from __future__ import annotations

import pytest

from backend.boot import clone_errors
from backend.boot.clone_errors import Cause
from backend.tmpfs import Usage

FULL = 512 << 20
LARGER = "Set CODETAINER_TMPFS_WORKSPACE=1024M or more."
URL = "https://github.com/example/demo"


@pytest.mark.parametrize(
    ("output", "reason", "remedy"),
    [
        (
            [
                "Receiving objects:  12% (1/8)",
                "fatal: write error: No space left on device",
                "fatal: fetch-pack: invalid index-pack output",
            ],
            "no space left in /workspace, which has 512 MiB and room for 131072 files",
            LARGER,
        ),
        (
            [
                "error: unable to write file a: No space left on device",
                "fatal: cannot create directory at 'b': No space left on device",
            ],
            "no space left in /workspace, which has 512 MiB and room for 131072 files",
            LARGER,
        ),
        (
            ["remote: Invalid username or token.", f"fatal: Authentication failed for '{URL}/'"],
            "the host did not accept the token",
            "Check that GH_PAT is valid for this repository.",
        ),
        (
            ["remote: Repository not found.", f"fatal: repository '{URL}/' not found"],
            "the host has no such repository for this token",
            "Check REPO_URL, and that GH_PAT can read this repository.",
        ),
        (
            [f"fatal: unable to access '{URL}/': The requested URL returned error: 403"],
            f"fatal: unable to access '{URL}/': The requested URL returned error: 403",
            "Check that GH_PAT is valid for this repository.",
        ),
        (
            ["git-lfs filter-process: 1: git-lfs: not found", "fatal: the remote end hung up unexpectedly"],
            "the repository uses Git LFS, and git-lfs is missing",
            "Add git-lfs to the image (docs/image.md).",
        ),
        (
            ["error: unable to create file aaa/bbb: File name too long", "fatal: unable to checkout working tree"],
            "a path is too long for the file system",
            "Shorten the path in the repository.",
        ),
        (
            ["error: index-pack died of signal 9", "fatal: fetch-pack: invalid index-pack output"],
            "git ran out of memory",
            "Give the sandbox more memory, or reduce the repository's history.",
        ),
        (
            [f"fatal: unable to access '{URL}/': Failed to connect to github.com port 443 after 130 ms: Connection timed out"],
            "the host did not answer in time",
            "Run codetainer retry when the host can be reached.",
        ),
        (
            ["error: RPC failed; curl 18 transfer closed with outstanding read data remaining", "fatal: early EOF"],
            "the host ended the connection early",
            "Run codetainer retry to clone again.",
        ),
        (["Cloning into 'repo'...", "fatal: something new", "hint: and a hint"], "fatal: something new", ""),
        (["odd"], "odd", ""),
        ([], "git exited with code 128", ""),
    ],
)
def test_the_cause_of_a_failed_clone(output: list[str], reason: str, remedy: str) -> None:
    assert clone_errors.cause(output, Usage(0, FULL, 0, 131072), 128) == Cause(reason, remedy)


@pytest.mark.parametrize(
    ("size", "free", "words", "setting"),
    [
        (700 << 20, FULL, "about 700 MiB large, and /workspace has 512 MiB free", "2560M"),
        (24 << 10, 16 << 10, "about 24 KiB large, and /workspace has 16 KiB free", "512M"),
    ],
)
def test_a_repository_that_cannot_fit(size: int, free: int, words: str, setting: str) -> None:
    problem = clone_errors.too_large(size, free)
    assert problem is not None
    assert words in problem.reason
    assert problem.remedy == f"Set CODETAINER_TMPFS_WORKSPACE={setting} or more."


def test_a_repository_that_may_fit_is_tried() -> None:
    assert clone_errors.too_large(FULL, FULL) is None
    assert clone_errors.too_large(0, 0) is None
