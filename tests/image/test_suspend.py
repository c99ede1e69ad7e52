"""A container keeps its work on a volume, and its successor continues it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.contract.events import WorkSuspended
from tests.image import container, engine
from tests.image.container import Contained
from tests.netns.sandbox import LISTED, eventually
from tests.netns.suspensions import member

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("image")]

WELL = "\n".join(name for name in LISTED.split() if name not in ("private.test", "metadata.test"))


def test_a_container_resumes_from_a_volume(tmp_path: Path) -> None:
    """With the least capabilities: root may not read and write what belongs to others."""
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o755)

    def begin(number: int, interval: str = "10m") -> Contained:
        (tmp_path / str(number)).mkdir()
        options = (*engine.LEAST, f"--volume={volume}:/volume")
        return container.start(
            tmp_path / str(number), f"suspend-{os.getpid()}-{number}", listed=WELL, engine_options=options,
            CODETAINER_STATE="/volume", CODETAINER_STATE_INTERVAL=interval,
        )  # fmt: skip

    first = begin(1)
    first.agent("sh", "-c", "echo kept > /workspace/kept; chmod 0600 /workspace/kept; mkdir -m 0700 ~/.ssh")
    piped = first.codetainer("suspend", "/volume/mine.tar")
    assert piped.returncode == 0, piped.stderr
    assert member((volume / "mine.tar").read_bytes(), "manifest.json")["left_out"] == []
    assert first.stop() == 0
    assert [file.name for file in sorted(volume.glob("work-*"))] == ["work-00000001.tar"]
    second = begin(2, "1s")
    try:
        assert second.state.boot == "ready"
        assert second.agent("cat", "/workspace/kept").stdout == "kept\n"
        assert second.agent("stat", "-c", "%a", "/workspace/kept", "/home/claude/.ssh").stdout.split() == ["600", "700"]
        eventually("it is kept again", lambda: second.events(WorkSuspended))
    finally:
        second.stop()
    assert len(list(volume.glob("work-*.tar"))) == 2
