"""What is allowed by hand, over parts in small."""

from typing import Any

import pytest

from backend.contract.paths import Paths
from tests.unit.backend.supervision.parts import Case


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Case:
    return Case(monkeypatch, Paths(tmp_path))
