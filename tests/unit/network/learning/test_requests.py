"""The smallest grant that permits the requests that were seen."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network import grant
from network.learning import requests
from network.learning.requests import MAX_PATHS, MAX_RULES, Requests

DIGEST = "9f86d081884c7d659a2feaa0c55ad015"
UUID = "123e4567-e89b-42d3-a456-426614174000"


def seen(*lines: str, feature: str = "") -> Requests:
    """Requests from lines such as `POST /v1/items`."""
    result = Requests()
    for line in lines:
        method, path = line.split(" ")
        result.add(method, path, feature)
    return result


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["GET /", "HEAD /a", "OPTIONS /b?"], "read"),
        (["GET /@scope%2fname", "GET /debian/./Packages"], "read"),
        (["POST /"], "POST:/"),
        (["POST /v1/track/"], "POST:/v1/track"),
        (["GET /a", "POST /v1/track"], "read POST:/v1/track"),
        (["POST /v1/items/42/tags", "POST /v1/items/7/tags"], "POST:/v1/items/*/tags"),
        ([f"PUT /objects/{UUID}", f"DELETE /objects/{DIGEST}"], "PUT:/objects/* DELETE:/objects/*"),
        (["POST /v2/deadbeefcafe", "POST /v2/deadline"], "POST:/v2/deadbeefcafe POST:/v2/deadline"),  # a word without a digit
        (["POST /upload/a%20b%23c"], "POST:/upload/*"),
        (["POST /caf%C3%A9"], "POST:/*"),
        (["POST /a/*"], "POST:/a/*"),
        (["POST /**", "PUT /%2A%2A"], "POST:/* PUT:/*"),  # the agent cannot write a wildcard for more segments
        (["POST /a/**", "PUT /a/**/b"], "POST:/a/* PUT:/a/*/b"),
        ([f"PUT /up/{word}/x" for word in "abcd"], "PUT:/up/a/x PUT:/up/b/x PUT:/up/c/x PUT:/up/d/x"),
        ([f"PUT /up/{word}/x" for word in "abcde"], "PUT:/up/*/x"),
        ([f"PUT /up/{word}/x" for word in "abcde"] + ["PUT /other/a/x"], "PUT:/other/a/x PUT:/up/*/x"),
    ],
)
def test_the_smallest_grant(lines: list[str], expected: str) -> None:
    assert grant.text(seen(*lines).grant.words) == expected


def test_many_paths_of_different_length_become_their_common_beginning() -> None:
    deep = [f"PUT /bucket/dist/{'/'.join('abcdefgh'[: i % 7 + 1])}/f{i}" for i in range(2 * MAX_RULES)]
    found = seen(*deep, "PUT /else").grant
    assert grant.text(found.words) == "PUT:/bucket/dist/a/** PUT:/else"
    assert found.widened


def test_nothing_becomes_every_path() -> None:
    words = [chr(97 + i % 26) + chr(97 + i // 26) for i in range(100)]
    found = seen(*(f"POST /{word}/{word}/{word}" for word in words)).grant
    assert "POST:/**" not in found.words
    assert len(found.words) <= MAX_RULES
    assert found.left_out == 100 - MAX_RULES


def test_paths_that_are_not_remembered_are_counted() -> None:
    many = [f"POST /{'/'.join(['a'] * (i % 8 + 1))}/{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(MAX_PATHS + 50)]
    found = seen(*many)
    assert len(found.paths) == MAX_PATHS
    assert found.beyond == 50
    assert found.grant.left_out >= 50


@pytest.mark.parametrize(
    ("line", "feature"),
    [
        ("GET /chat", "upgrade"), ("GET /search", "body"), ("POST /a", "override"),
        ("PROPFIND /dav", ""), ("POST //a", ""), ("GET /a/../b", ""), ("GET /a;b", ""), ("GET /a%3Bb", ""), ("POST /a%2fb", ""),
        ("GET /a%252fb", ""), ("GET /a%00b", ""), ("GET /a%zz", ""), ("POST /a/./b", ""), ("OPTIONS *", ""),
    ],
)  # fmt: skip
def test_what_no_grant_permits_needs_open(line: str, feature: str) -> None:
    found = seen("GET /a", "POST /b")
    method, path = line.split(" ")
    found.add(method, path, feature)
    assert found.grant.words == grant.ANYTHING
    assert len(found.needs_open) == 1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/" + "/".join("abcdefghijklmnop"), "POST:/a/b/c/d/e/f/g/h/i/j/k/l/**"),
        ("/" + "/".join(["x" * 30] * 8), "POST:/*/*/" + "/".join(["x" * 30] * 6)),
        ("/" + "a" * 2000, "read"),  # the log may have cut it: it is left out, and the host answered
    ],
)
def test_long_paths(path: str, words: str) -> None:
    found = seen(f"POST {path}").grant
    assert grant.text(found.words) == words
    assert found.left_out == (words == "read")


def test_no_choice_of_paths_takes_long_to_reduce() -> None:
    """The agent chooses them, and the supervisor waits. Counts the steps, because a time would depend on the machine."""
    deep = [f"PUT /{'/'.join('abcdefghijkl'[(i >> n) & 3 : (i >> n & 3) + 1] for n in range(12))}" for i in range(MAX_PATHS)]
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        _ = seen(*deep).grant
    finally:
        sys.setprofile(None)
    assert calls < 20_000


def test_the_empty_grant_is_never_made_of_nothing() -> None:
    with pytest.raises(ValueError, match="no requests"):
        _ = Requests().grant


SEGMENT = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/%?"), min_size=1, max_size=30)


@given(st.lists(st.tuples(st.sampled_from(["POST", "PUT", "DELETE"]), st.lists(SEGMENT, min_size=1, max_size=6)), min_size=1))
def test_a_grant_permits_every_request_that_it_was_made_from(writes: list[tuple[str, list[str]]]) -> None:
    """Also what it leaves out is counted, and every word can be parsed again."""
    found = Requests()
    for method, segments in writes:
        found.add(method, "/" + "/".join(segments))
    made = found.grant
    assert grant.parse([(0, word) for word in grant.text(made.words).split(" ")]) == made.words
    if made.words == grant.ANYTHING:
        assert found.needs_open
        return
    patterns = [re.compile(pattern) for pattern in grant.patterns(made.words)]
    asked = [f"{method}=/{'/'.join(segments)}" for method, segments in writes]
    refused = [one for one in asked if not any(pattern.match(one) for pattern in patterns)]
    assert not refused or made.left_out


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=4), min_size=1, max_size=40))
def test_alike_paths_cover_what_they_replace(paths: list[list[str]]) -> None:
    texts = ["/" + "/".join(path) for path in paths]
    made = [re.compile(grant.patterns((f"PUT:{path}",))[0]) for path in requests.alike(texts)]
    assert all(any(pattern.match(f"PUT={text}") for pattern in made) for text in texts)
