"""The pretend GitHub answers with the selected fields only."""

from __future__ import annotations

import pytest

from backend.sandbox.pretend import graphql

ROOT = {
    "viewer": {"__typename": "User", "login": "octocat", "id": "U_1"},
    "items": [{"__typename": "Issue", "id": "I_1"}, {"__typename": "Ref", "id": "R_1", "name": "main"}, None],
    "item": lambda asked: {"id": asked},
}


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("{ viewer { login } }", {"viewer": {"login": "octocat"}}),
        ("query Q($n: Int = 3) { me: viewer { login missing } }", {"me": {"login": "octocat", "missing": None}}),
        ("{ viewer { ...F } } fragment F on User { id }", {"viewer": {"id": "U_1"}}),
        ("{ viewer @a(b: 1) { ...F(x: {}) } } fragment F on User @x { id @y }", {"viewer": {"id": "U_1"}}),
        ("{ items { ... on Ref { name } ... on Node { id } } }",
         {"items": [{"id": "I_1"}, {"name": "main", "id": "R_1"}, None]}),
        ('query($v: X) { item(a: 1, b: "x", c: {d: [E, $v]}) { id } }',
         {"item": {"id": {"a": 1, "b": "x", "c": {"d": ["E", "value"]}}}}),
    ],
)  # fmt: skip
def test_only_selected_fields_are_answered(query: str, answer: object) -> None:
    assert graphql.answer(query, {"v": "value"}, ROOT) == answer


@pytest.mark.parametrize("query", ["{", "{ a(", "\\", "query"])
def test_a_query_that_cannot_be_parsed_is_an_error(query: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        graphql.answer(query, {}, ROOT)
