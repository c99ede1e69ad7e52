"""The image, built once for all its tests."""

from __future__ import annotations

import os

import pytest

from tests.image import container, engine
from tests.netns.conftest import Begin, pytest_runtest_makereport, sandbox

__all__ = ["pytest_runtest_makereport", "sandbox"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a developer's machine without the tools these tests are skipped with the reason; in CI nothing may be."""
    reason = engine.lacking()
    if not reason or os.environ.get("CI") == "true":
        return
    for item in items:
        if "tests/image" in str(item.path):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def image() -> str:
    return engine.image()


@pytest.fixture(scope="session")
def begin(image: str) -> Begin:
    return container.start
