"""References and mentions in text, bodies of requests, and pushes (references.lua, push.lua)."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.settings import credentials_file
from network.gate import haproxy, references, scope
from network.gate.references import References
from tests import lua
from tests.lua import Lua, LuaError
from tests.unit.network.gate.test_push import MAIN, OLD, WORK, ZERO, commit, delta, entry, packed, push

pytestmark = pytest.mark.skipif(lua.library() is None and os.environ.get("CI") != "true", reason="liblua not found")

PUSH = b"octo/repo friend/*"
FIND = b"local text, push = ...; return References.find(text, push) or ''"
BODY = b"local body, push = ...; References.judge(body, push)"
# `known` has the ids that GitHub has.
JUDGE = b"""
local body, allowed, known = ...
Push.judge(body, sha1, function(old, commit) return old == commit and known:find(commit, 1, true) ~= nil end,
  function() return {} end, allowed ~= "" and allowed or nil)
"""
SHA = "a5c3785ed8d6a35868bc169f07e40e889087fd2e"
LINK = "https://github.com/stranger/elsewhere"


@pytest.fixture(scope="module")
def gate() -> Lua:
    return Lua(haproxy.GITHUB)


REFERENCES = [
    ("Closes stranger/elsewhere#1", "stranger/elsewhere#1"),
    ("(Stranger/else.where_x#12)", "Stranger/else.where_x#12"),
    ("octo/other#3", "octo/other#3"),
    ("xocto/repo#3", "xocto/repo#3"),
    ("see stranger#7", "stranger#7"),
    (f"as in stranger/elsewhere@{SHA}", f"stranger/elsewhere@{SHA}"),
    ("stranger/elsewhere@a5c3785.", "stranger/elsewhere@a5c3785"),
    (f"stranger@{SHA}", f"stranger@{SHA}"),
    ("Thanks @stranger!", "@stranger"),
    ("@stranger", "@stranger"),
    ("_@stranger_", "@stranger"),
    ("x/@stranger", "@stranger"),
    ("cc @some-org/team-x", "@some-org"),
    ("`@stranger`", "@stranger"),
    ("\u00fc@stranger", "@stranger"),
    (f"{LINK}/issues/1", "github.com/stranger/elsewhere/issues/1"),
    (f"<{LINK}/pull/2/files#r1>", "github.com/stranger/elsewhere/pull/2"),
    (f"[x]({LINK}/commit/{SHA})", f"github.com/stranger/elsewhere/commit/{SHA}"),
    (f"{LINK}/discussions/5?x", "github.com/stranger/elsewhere/discussions/5"),
    ("http://www.GitHub.com:443//Stranger/Elsewhere//ISSUES/%31", "github.com/stranger/elsewhere/issues/1"),
    ("github.com/orgs/stranger/discussions/4", "github.com/orgs/stranger/discussions/4"),
    (
        "https://github.com/octo/repo/../../stranger/elsewhere/issues/1",
        "github.com/octo/repo/../../stranger/elsewhere/issues/1",
    ),
    # --- as Markdown is rendered, and without characters that a program may drop ---
    ("stranger/elsewhere&#35;1", "stranger/elsewhere#1"),
    ("&#x40stranger", "@stranger"),
    ("&#64;stranger", "@stranger"),
    ("&commat;stranger", "@stranger"),
    ("stranger&sol;elsewhere&num;1", "stranger/elsewhere#1"),
    ("stranger/elsewhere\\#1", "stranger/elsewhere#1"),
    ("\\@stranger", "@stranger"),
    ("x<!-- x -->octo/repo#1", "xocto/repo#1"),
    ("x<b></b>octo/repo#1", "xocto/repo#1"),
    ("@\u200bstranger", "@stranger"),
    ("x\u00adocto/repo#1", "xocto/repo#1"),
    ("@\0stranger", "@stranger"),
    ("\uff20stranger", "@stranger"),
    ("stranger\uff0felsewhere\uff031", "stranger/elsewhere#1"),
]


@pytest.mark.parametrize(("text", "reference"), REFERENCES)
def test_a_reference_to_something_elsewhere_is_found(gate: Lua, text: str, reference: str) -> None:
    assert gate.run(FIND, text.encode(), PUSH).decode() == reference


@pytest.mark.parametrize(
    "text",
    [
        "", "Closes #1, GH-12 and octo/repo#3", f"friend/any@{SHA}, FRIEND/any#3, octo#5 and friend@{SHA}",
        f"{SHA} and a5c3785",
        "https://github.com/octo/repo/issues/1 and https://github.com/octo/repo.git/pull/2", "actions/checkout@v4, a@1.2.3",
        "Signed-off-by: A <a@a.example>", "Co-authored-by: d[bot] <1+d[bot]@users.noreply.github.com>",
        "5 @ 3, @ and # and @-x",
        f"{LINK} {LINK}/blob/main/a.md#L5 {LINK}/issues {LINK}/releases/tag/1", "git@github.com:stranger/elsewhere.git",
        "https://redirect.github.com/stranger/elsewhere/issues/1", "https://notgithub.com/stranger/elsewhere/issues/1",
        "https://api.github.com/repos/stranger/elsewhere/issues/1", "color #123456, x/y#top, file.md#3",
        "&amp; &#x; &#99999999999; &#0;",
        "https://user:pass@host.example/", "root@server",
    ],
)  # fmt: skip
def test_other_text_passes(gate: Lua, text: str) -> None:
    assert gate.run(FIND, text.encode(), PUSH) == b""


def test_everything_in_scope_passes_and_without_repositories_nothing_is(gate: Lua) -> None:
    assert gate.run(FIND, f"stranger/elsewhere#1 {LINK}/pull/2 stranger@{SHA}".encode(), b"*") == b""
    assert gate.run(FIND, b"octo/repo#1", b"-") == b"octo/repo#1"


def test_a_long_name_is_cut(gate: Lua) -> None:
    """A pattern would take seconds to match a name of a hundred thousand characters."""
    found = gate.run(FIND, b"a" * 1000 + b"/repo#1", PUSH)
    assert (found.endswith(b"a/repo#1"), len(found) < 160) == (True, True)


@given(st.text(alphabet="aB1#@/._-<>&;\\ \n\u200b\u00e9", max_size=60), st.sampled_from(["stranger/elsewhere#1", "@stranger"]))
def test_no_text_around_it_hides_a_reference(gate: Lua, text: str, reference: str) -> None:
    assert gate.run(FIND, f"{text} {reference} {text}".encode(), PUSH) != b""


@pytest.mark.parametrize(
    "piece", ["a", "a/", "#1", "@a", "/#1", "&#", "&#64", "<", "\\", "github.com/", "a#1", "a@1234567", "%41", "]@"]
)
def test_a_long_text_is_searched_in_time_that_grows_with_its_length(gate: Lua, piece: str) -> None:
    """Counts Lua instructions in thousands. Eight times as much text may take 16 times as many; a quadratic search takes 64."""
    count = b"""
    local steps = 0
    debug.sethook(function() steps = steps + 1 end, '', 1000)
    References.find(...)
    debug.sethook()
    return steps
    """
    steps = [int(gate.run(count, (piece * (size // len(piece))).encode(), b"*")) for size in (8192, 65536)]
    assert steps[1] <= 16 * steps[0] + 16


def judged(gate: Lua, code: bytes, *arguments: bytes) -> str:
    try:
        gate.run(code, *arguments)
    except LuaError as error:
        return str(error)
    return "fine"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"title": "t", "body": "Closes #1 and octo/repo#2"}, "fine"),
        ({"body": "Closes stranger/elsewhere#1"}, "reference: stranger/elsewhere#1"),
        ({"title": "for @stranger"}, "reference: @stranger"),
        ({"comments": [{"path": "a/@b/c", "body": "x"}]}, "fine"),
        ({"comments": [{"path": "a/@b/c", "body": "@stranger"}]}, "reference: @stranger"),
        ({"anything": {"new": ["@stranger"]}}, "reference: @stranger"),
        ({"path": ["@stranger"]}, "reference: @stranger"),
        ({"message": "m", "content": "@stranger", "branch": "work"}, "fine"),
        ({"ref": "refs/heads/stranger/elsewhere#1"}, "reference: stranger/elsewhere#1"),
        ("@stranger", "reference: @stranger"),
        ({"number": 1, "null": None, "yes": True}, "fine"),
    ],
)
def test_every_string_of_a_body_is_text_except_files(gate: Lua, body: object, why: str) -> None:
    assert judged(gate, BODY, json.dumps(body).encode(), PUSH) == why
    assert judged(gate, BODY, re.sub("[@#]", lambda m: f"\\u{ord(m[0]):04x}", json.dumps(body)).encode(), PUSH) == why


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"body": "a", "body": "@stranger"}', "unclear: the JSON has a duplicate name"),
        (b'{"body": "@\xffstranger"}', "unclear: the request is not UTF-8"),
        (b'{"body": "\xed\xa0\x80"}', "unclear: the request is not UTF-8"),
        (b"body=@stranger", "unclear: the JSON cannot be parsed"),
    ],
)
def test_a_body_that_can_be_read_in_two_ways_is_refused(gate: Lua, body: bytes, why: str) -> None:
    assert judged(gate, BODY, body, PUSH) == why


# --- pushes ---

UNREAD = "reference: the gate cannot read all commits and tags"
BAD, BAD_TEXT = commit(OLD, message="Closes stranger/elsewhere#1")
GOOD, GOOD_TEXT = commit(OLD, message="Closes #1\n\nCo-authored-by: A <a@a.example>")
AFTER, AFTER_TEXT = commit(BAD, message="after")
CODED, CODED_TEXT = commit(OLD, message="x")
CODED_TEXT = CODED_TEXT.replace(b"\n\n", b"\nencoding UTF-7\n\n", 1)


def named(kind: str, content: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content, usedforsecurity=False).hexdigest()


def tag(target: str, message: str, kind: str = "commit") -> tuple[str, bytes]:
    content = f"object {target}\ntype {kind}\ntag v1\ntagger A <a@a.example> 1 +0000\n\n{message}\n".encode()
    return named("tag", content), content


FINE_TAG, FINE_TAG_TEXT = tag(GOOD, "version 1")
BAD_TAG, BAD_TAG_TEXT = tag(GOOD, "for @stranger")
OF_TAG, OF_TAG_TEXT = tag(BAD_TAG, "of a tag", "tag")
OF_FILE, OF_FILE_TEXT = tag(GOOD, "of a file", "blob")
V1 = "refs/tags/v1"


def verdict(gate: Lua, body: bytes, known: str = "", allowed: bytes = PUSH) -> str:
    return judged(gate, JUDGE, body, allowed, known.encode())


PUSHES = [
    (push((OLD, GOOD, MAIN), pack=packed([entry(1, GOOD_TEXT)])), "", "fine"),
    (push((OLD, BAD, MAIN), pack=packed([entry(1, BAD_TEXT)])), "", "reference: stranger/elsewhere#1"),
    (push((OLD, AFTER, MAIN), pack=packed([entry(1, AFTER_TEXT), entry(1, BAD_TEXT)])), "", "reference: stranger/elsewhere#1"),
    (push((ZERO, GOOD, WORK), pack=packed([entry(1, GOOD_TEXT)])), OLD, "fine"),
    (push((ZERO, GOOD, WORK), pack=packed([entry(1, GOOD_TEXT)])), "", UNREAD),
    (push((ZERO, OLD, WORK)), OLD, "fine"),
    (push((ZERO, OLD, WORK)), "", UNREAD),
    (push((OLD, ZERO, WORK)), "", "fine"),
    # A commit behind a file, in a delta without a base, cut off, or claimed to be at the server by another command.
    (push((OLD, AFTER, MAIN), pack=packed([entry(1, AFTER_TEXT), entry(3, b"file"), entry(1, BAD_TEXT)])), "", UNREAD),
    (push((OLD, AFTER, MAIN), pack=packed([entry(1, AFTER_TEXT), entry(7, b"x", bytes(20))])), "", UNREAD),
    (push((OLD, AFTER, MAIN), pack=packed([entry(1, AFTER_TEXT), entry(1, BAD_TEXT)])[:-40]), "", UNREAD),
    (push((BAD, AFTER, MAIN), (ZERO, AFTER, WORK), pack=packed([entry(1, AFTER_TEXT)])), "", UNREAD),
    (push((BAD, AFTER, MAIN), pack=packed([entry(1, AFTER_TEXT)])), "", "fine"),
    (push((OLD, BAD, MAIN), pack=packed([entry(1, GOOD_TEXT), entry(7, delta(GOOD_TEXT, BAD_TEXT), bytes.fromhex(GOOD))])), "",
     "reference: stranger/elsewhere#1"),
    (push((OLD, named("commit", CODED_TEXT), MAIN), pack=packed([entry(1, CODED_TEXT)])), "", UNREAD),
    # Tags, and names of refs, of which GitHub makes texts when it merges.
    (push((ZERO, FINE_TAG, V1), pack=packed([entry(4, FINE_TAG_TEXT), entry(1, GOOD_TEXT)])), OLD, "fine"),
    (push((ZERO, FINE_TAG, V1), pack=packed([entry(4, FINE_TAG_TEXT)])), GOOD, "fine"),
    (push((ZERO, BAD_TAG, V1), pack=packed([entry(4, BAD_TAG_TEXT)])), GOOD, "reference: @stranger"),
    (push((ZERO, OF_TAG, V1), pack=packed([entry(4, OF_TAG_TEXT), entry(4, BAD_TAG_TEXT)])), GOOD, "reference: @stranger"),
    (push((ZERO, OF_FILE, V1), pack=packed([entry(4, OF_FILE_TEXT)])), GOOD, UNREAD),
    (push((ZERO, OLD, "refs/heads/stranger/elsewhere#1")), OLD, "reference: stranger/elsewhere#1"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "known", "why"), PUSHES, ids=itertools.count())
def test_a_push_passes_only_if_all_that_it_brings_was_read(gate: Lua, body: bytes, known: str, why: str) -> None:
    assert verdict(gate, body, known).startswith(why)
    assert verdict(gate, body, known, b"") == "fine", "unless the operator wants it, nothing is searched"


def test_a_push_names_few_commits_that_the_gate_has_to_ask_about(gate: Lua) -> None:
    made = [commit(f"{number:040x}", message=str(number)) for number in range(1, 22)]
    commands = [(ZERO, identity, f"refs/heads/b{number}") for number, (identity, _) in enumerate(made)]
    body = push(*commands, pack=packed(entry(1, text) for _, text in made))
    known = " ".join(f"{number:040x}" for number in range(1, 22))
    assert verdict(gate, body, known).startswith(UNREAD)
    assert verdict(gate, push(*commands[:20], pack=packed(entry(1, text) for _, text in made)), known) == "fine"


# --- rules ---

HOSTS = {host.name: host for host in credentials_file.shipped()}


def rules(name: str, setting: References) -> list[str]:
    return list(scope.scope(references.applied(HOSTS[name], setting), ("octo/repo", "friend/*"), "/asks"))


@pytest.mark.parametrize("name", HOSTS)
def test_by_default_no_rule_is_added(name: str) -> None:
    assert rules(name, References.PASS) == list(scope.scope(HOSTS[name], ("octo/repo", "friend/*"), "/asks"))


def test_only_hosts_that_interpret_text_are_searched() -> None:
    searched = [name for name in HOSTS if rules(name, References.REFUSE) != rules(name, References.PASS)]
    assert searched == ["github.com", "api.github.com"]
    assert "http-request set-var(txn.references) str('octo/repo friend/*')" in rules("github.com", References.REFUSE)
    assert any(rule.startswith("http-request lua.references if") for rule in rules("api.github.com", References.REFUSE))
