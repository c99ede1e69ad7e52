"""Which git pushes may pass: their commands, and the commits in their pack (push.lua, pack.lua)."""

from __future__ import annotations

import hashlib
import itertools
import os
import struct
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from network.gate import haproxy
from tests import lua
from tests.lua import Lua, LuaError

pytestmark = pytest.mark.skipif(lua.library() is None and os.environ.get("CI") != "true", reason="liblua not found")

ZERO = "0" * 40
# Judges a push. `guarded` has branches and reasons as `name=reason;`, `ahead` has pairs `old commit;` that GitHub confirms.
JUDGE = b"""
local body, guarded, ahead = ...
local found = {}
for name, why in guarded:gmatch("([^=;]+)=([^;]+)") do found[name] = why end
Push.judge(body, sha1, function(old, commit) return ahead:find(old .. " " .. commit, 1, true) ~= nil end,
  function(names) return found end)
"""
PARENTS = b"""
local lines = {}
for id, object in pairs(Pack.objects((...), 1, sha1)) do
  if object.parents then lines[#lines + 1] = id .. " " .. table.concat(object.parents, " ") end
end
table.sort(lines)
return table.concat(lines, "\\n")
"""
MAIN, WORK = "refs/heads/main", "refs/heads/work"
DEFAULT = f"{MAIN}=default;"


@pytest.fixture(scope="module")
def gate() -> Lua:
    return Lua(haproxy.GITHUB)


def line(text: bytes) -> bytes:
    return f"{len(text) + 4:04x}".encode() + text


def push(*commands: tuple[str, str, str], pack: bytes = b"", capabilities: str = " report-status agent=git/2.39") -> bytes:
    lines = [f"{old} {new} {name}".encode() for old, new, name in commands]
    return b"".join(line(text + b"\0" + capabilities.encode() * (not n)) if not n else line(text)
                    for n, text in enumerate(lines)) + b"0000" + pack  # fmt: skip


def commit(*parents: str, message: str = "x", author: str = "A <a@a.example> 1 +0000") -> tuple[str, bytes]:
    """Returns the id and text of a commit."""
    text = f"tree {'4' * 40}\n" + "".join(f"parent {parent}\n" for parent in parents)
    text += f"author {author}\ncommitter {author}\n\n{message}\n"
    content = text.encode()
    return hashlib.sha1(b"commit %d\0" % len(content) + content, usedforsecurity=False).hexdigest(), content


def entry(kind: int, content: bytes, before: bytes = b"", level: int = 6) -> bytes:
    """An object of a pack; `before` is the reference to the base of a delta."""
    size, head = len(content) >> 4, bytearray([kind << 4 | len(content) & 15])
    while size:
        head[-1] |= 128
        head.append(size & 127)
        size >>= 7
    return bytes(head) + before + zlib.compress(content, level)


def packed(entries: Iterable[bytes]) -> bytes:
    entries = list(entries)
    body = b"PACK" + struct.pack("!II", 2, len(entries)) + b"".join(entries)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def delta(base: bytes, target: bytes) -> bytes:
    """A delta that copies what both texts begin with, and inserts the rest."""

    def number(value: int) -> bytes:
        out = bytearray()
        while True:
            out.append(value & 127 | (128 if value > 127 else 0))
            value >>= 7
            if not value:
                return bytes(out)

    common = next(n for n, (a, b) in enumerate(zip(base, target + b"\0", strict=False)) if a != b)
    out = number(len(base)) + number(len(target)) + bytes([0x80 | 0x10 | 0x20]) + struct.pack("<H", common)
    rest = target[common:]
    return out + b"".join(bytes([len(rest[at : at + 127])]) + rest[at : at + 127] for at in range(0, len(rest), 127))


OLD, _ = commit(message="at GitHub")
ONE, ONE_TEXT = commit(OLD, message="one")
TWO, TWO_TEXT = commit(ONE, message="two")
SIDE, SIDE_TEXT = commit("b" * 40, message="side")
MERGE, MERGE_TEXT = commit(SIDE, TWO, message="merge")
FORGED, FORGED_TEXT = commit("b" * 40, message=f"x\nparent {OLD}\n")
HEADER, HEADER_TEXT = commit("b" * 40, author=f"A\nparent {OLD}")
COMMITS = packed(entry(1, text) for text in (MERGE_TEXT, TWO_TEXT, ONE_TEXT, SIDE_TEXT))


def verdict(gate: Lua, body: bytes, guarded: str = DEFAULT, ahead: str = "") -> str:
    try:
        gate.run(JUDGE, body, guarded.encode(), ahead.encode())
    except LuaError as error:
        return str(error)
    return "fine"


@pytest.mark.parametrize(
    "body",
    [
        push((OLD, MERGE, MAIN), pack=COMMITS),
        push((OLD, TWO, MAIN), pack=packed([entry(1, TWO_TEXT), entry(1, ONE_TEXT), entry(2, b"tree")])),
        push((OLD, TWO, MAIN), pack=packed([entry(4, b"tag"), entry(1, TWO_TEXT, level=0), entry(1, ONE_TEXT, level=9)])),
        push((ZERO, TWO, MAIN)),
        push((ZERO, TWO, "refs/heads/new"), (ZERO, TWO, "refs/tags/v1"), (OLD, TWO, "refs/notes/commits")),
        push((OLD, "b" * 40, WORK), (TWO, ZERO, "refs/heads/old")),
        push((OLD, OLD, MAIN)),
        b"0000",
        line(b"shallow " + OLD.encode()) + push((OLD, ONE, MAIN), pack=packed([entry(1, ONE_TEXT)])),
        push((OLD, ONE, MAIN), capabilities=" push-options", pack=b"0000" + packed([entry(1, ONE_TEXT)])),
        push((OLD.upper(), ONE.upper(), MAIN), pack=packed([entry(1, ONE_TEXT)])),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_ordinary_pushes_pass(gate: Lua, body: bytes) -> None:
    assert verdict(gate, body) == "fine"


FORCED = "force_push: main"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (push((OLD, SIDE, MAIN), pack=COMMITS), FORCED),
        (push((OLD, "c" * 40, MAIN)), FORCED),
        (push((TWO, ONE, MAIN), pack=COMMITS), FORCED),
        (push((OLD, FORGED, MAIN), pack=packed([entry(1, FORGED_TEXT)])), FORCED),
        (push((OLD, HEADER, MAIN), pack=packed([entry(1, HEADER_TEXT)])), FORCED),
        (push((OLD, ONE, MAIN), pack=packed([entry(2, ONE_TEXT)])), FORCED),
        (push((OLD, "c" * 40, WORK), (OLD, "c" * 40, MAIN)), FORCED),
        (push((OLD, ZERO, MAIN)), "default_branch: main"),
        (push((ZERO, ZERO, MAIN)), "default_branch: main"),
        (push((OLD, ONE, "refs/tags/v1")), "tag: refs/tags/v1"),
        (push((OLD, ZERO, "refs/tags/v1")), "tag: refs/tags/v1"),
        (push((ZERO, ZERO, "refs/tags/v1")), "tag: refs/tags/v1"),
        (push((ZERO, TWO, "refs/tags/v2"), (ZERO, ONE, "refs/tags/v2")), "unclear: the push names refs/tags/v2 twice"),
        (push((OLD, ONE, "refs/heads//main")), "not_granted: refs/heads//main is no branch, tag or note"),
        (push((ZERO, ONE, "refs/notes/../heads/main")), "not_granted: refs/notes/../heads/main is no branch, tag or note"),
        (push((ZERO, ONE, "refs/pull/1/head")), "not_granted: refs/pull/1/head is no branch, tag or note"),
        (push((ZERO, ONE, 'HEAD"')), "not_granted: HEAD? is no branch, tag or note"),
        (push((ZERO, ONE, "refs/heads/")), "not_granted: refs/heads/ is no branch, tag or note"),
        (push(*((OLD, "c" * 40, f"refs/heads/{n}") for n in range(21))), "unclear: the push deletes or forces too many"),
        (push((OLD, ONE, MAIN))[:-4], "the push names too many branches and tags"),
        (push((OLD, ONE, MAIN))[:30], "the push names too many branches and tags"),
        (push((OLD, ONE, MAIN), (OLD, ONE, WORK + "\0x")), "the push cannot be parsed"),
        (line(f"{OLD} {ONE} {MAIN}".encode()) + b"0000", "the push cannot be parsed"),
        (push((OLD, ONE + "0", MAIN)), "the push cannot be parsed"),
        (push((OLD, ONE, "refs/heads/a b")), "the push cannot be parsed"),
        (line(b"push-cert\0 agent") + b"0000", "the push cannot be parsed"),
        (b"0001" + push((OLD, ONE, MAIN)), "the push cannot be parsed"),
        (b"0004" + push((OLD, ONE, MAIN)), "the push cannot be parsed"),
        (b"+0f0" + push((OLD, ONE, MAIN)), "the push cannot be parsed"),
        (b"", "the push names too many branches and tags"),
        (b"garbage", "the push cannot be parsed"),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_other_pushes_are_refused(gate: Lua, body: bytes, why: str) -> None:
    assert why in verdict(gate, body)


def test_github_knows_the_descent_of_commits_that_it_has(gate: Lua) -> None:
    """A branch is fast-forwarded to a commit that was pushed before, or to a merge of one."""
    assert verdict(gate, push((OLD, "c" * 40, MAIN)), ahead=f"{OLD} {'c' * 40}") == "fine"
    assert verdict(gate, push((OLD, SIDE, MAIN), pack=packed([entry(1, SIDE_TEXT)])), ahead=f"{OLD} {'b' * 40}") == "fine"
    assert FORCED in verdict(gate, push((OLD, SIDE, MAIN), pack=packed([entry(1, SIDE_TEXT)])), ahead=f"{'b' * 40} {OLD}")


def test_a_protected_branch_is_guarded_like_the_default_branch(gate: Lua) -> None:
    protected = f"{WORK}=protected;"
    assert "force_push: work" in verdict(gate, push((OLD, "c" * 40, WORK)), protected)
    assert "protected_branch: work" in verdict(gate, push((OLD, ZERO, WORK)), protected)


def test_commits_are_read_from_deltas(gate: Lua) -> None:
    first = entry(1, ONE_TEXT)
    second = entry(6, delta(ONE_TEXT, TWO_TEXT), bytes([len(first)]))
    third = entry(7, delta(TWO_TEXT, MERGE_TEXT), bytes.fromhex(TWO))
    assert parents(gate, packed([first, second, third])) == {ONE: [OLD], TWO: [ONE], MERGE: [SIDE, TWO]}


def parents(gate: Lua, pack: bytes) -> dict[str, list[str]]:
    lines = gate.run(PARENTS, pack).decode().splitlines()
    return {words[0]: words[1:] for words in map(str.split, lines)}


@given(st.lists(st.tuples(st.text(max_size=300), st.integers(0, 9)), min_size=1, max_size=4), st.integers(0, 2000))
@settings(max_examples=60, deadline=None)
def test_packs_are_read_as_zlib_reads_them(gate: Lua, messages: list[tuple[str, int]], cut: int) -> None:
    """A pack that is cut gives fewer commits, but no other ones."""
    made = [commit(OLD, message=text * 9) for text, _ in messages]
    pack = packed(entry(1, text, level=level) for (_, text), (_, level) in zip(made, messages, strict=True))
    whole = {identity: [OLD] for identity, _ in made}
    assert parents(gate, pack) == whole
    assert parents(gate, pack[:cut]).items() <= whole.items()


@given(st.binary(max_size=400), st.integers(0, 600))
@settings(max_examples=100, deadline=None)
def test_a_damaged_pack_is_no_error(gate: Lua, noise: bytes, at: int) -> None:
    damaged = COMMITS[:at] + noise + COMMITS[at + len(noise) :]
    assert all(len(identity) == 40 for identity in parents(gate, damaged))


def test_a_bomb_is_not_inflated(gate: Lua) -> None:
    assert parents(gate, packed([entry(1, bytes(3 << 20)), entry(1, ONE_TEXT)])) == {}
    assert ONE not in parents(gate, packed([*(entry(4, bytes(1 << 20)) for _ in range(9)), entry(1, ONE_TEXT)]))


ANSWER = b"return Push.answer(...)"


def test_git_shows_a_refusal_as_the_servers(gate: Lua) -> None:
    body = push((OLD, ZERO, MAIN), (ZERO, ONE, WORK), capabilities=" report-status-v2 side-band-64k agent=git/2.39")
    report = line(b"unpack ok\n") + b"".join(line(f"ng {ref} refused by the sandbox\n".encode()) for ref in (MAIN, WORK))
    shown = line(b"\x02codetainer: the reason\n") + line(b"\x01" + report + b"0000") + b"0000"
    assert gate.run(ANSWER, body, b"the reason") == shown
    assert gate.run(ANSWER, push((OLD, ZERO, MAIN)), b"the reason") == b""
    assert gate.run(ANSWER, b"garbage", b"the reason") == b""


@pytest.mark.parametrize("option", ["repo.private=false", "ci.skip", ""])
def test_options_of_a_push_are_refused_and_the_answer_names_the_branch(gate: Lua, option: str) -> None:
    capabilities = " report-status side-band-64k push-options"
    options = (line(option.encode()) if option else line(b"\n")) + b"0000"
    body = push((OLD, ONE, MAIN), capabilities=capabilities, pack=options + packed([entry(1, ONE_TEXT)]))
    assert verdict(gate, body) == f"not_granted: the push has the option {option.replace('=', '?') or '?'}"
    assert f"ng {MAIN} refused by the sandbox".encode() in gate.run(b"return Push.answer(..., 'why')", body)
