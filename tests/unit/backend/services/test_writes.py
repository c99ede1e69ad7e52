from __future__ import annotations

import pytest

from backend.contract.events import Wrote
from backend.services.writes import MAX_EACH, Writes

API = "https://api.github.com/repos/octo/repo"


@pytest.mark.parametrize(
    ("name", "detail", "link"),
    [
        ("github.com", "push to octo/repo: work", "https://github.com/octo/repo/tree/work"),
        ("github.com", "push to octo/repo: feature/a.b-c", "https://github.com/octo/repo/tree/feature/a.b-c"),
        ("github.com", "push to octo/repo: a, b", ""),
        ("github.com", "push to octo/repo: deleted work", ""),
        ("api.github.com", f"POST pulls in octo/repo -> {API}/pulls/7", "https://github.com/octo/repo/pull/7"),
        ("api.github.com", f"POST issues in octo/repo -> {API}/issues/8", "https://github.com/octo/repo/issues/8"),
        ("api.github.com", f"POST issues in octo/repo -> {API}/issues/8?x=1", ""),
        ("api.github.com", "POST issues in octo/repo -> https://evil.example/issues/8", ""),
        ("elsewhere.example", "push to octo/repo: work", ""),
        ("elsewhere.example", f"POST pulls in octo/repo -> {API}/pulls/7", ""),
    ],
)
def test_the_page_of_a_write(name: str, detail: str, link: str) -> None:
    writes = Writes()
    writes.add(name, detail)
    assert writes.take() == [Wrote(name, detail.partition(" -> ")[0], link)]


def test_writes_are_counted_and_a_flood_is_added_up() -> None:
    writes = Writes()
    for number in range(MAX_EACH + 10):
        writes.add("api.github.com", f"POST a{number}")
    writes.add("api.github.com", "POST a0")
    events = writes.take()
    assert events[0] == Wrote("api.github.com", "POST a0", count=2)
    assert events[-1] == Wrote("", "10 more writes", count=10)
    assert len(events) == MAX_EACH + 1
    assert writes.take() == []
