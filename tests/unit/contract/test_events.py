"""The journal's events: encoding and decoding are inverse, and invalid lines are errors."""

import json
import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract import events as e

TIMES = st.floats(min_value=0, max_value=4e9, allow_nan=False).map(lambda at: round(at, 3))
ANY_EVENT = st.one_of(
    *(
        st.from_type(kind)
        for kind in e.KINDS.values()
        if kind not in (e.Snapshot, e.SandboxMeasured, e.ListMeasured)  # mappings get strategies of their own below
    ),
    st.builds(e.ListMeasured, failing=st.dictionaries(st.text(), st.floats(allow_nan=False))),
    st.builds(
        e.SandboxMeasured,
        tmpfs=st.dictionaries(st.text(), st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40))),
        largest=st.dictionaries(st.text(), st.lists(st.from_type(e.Largest)).map(tuple)),
    ),
)


def finite(event: e.Event) -> bool:
    return "NaN" not in e.encode(e.Stamped(0, 0, event))


@given(TIMES, st.integers(0), ANY_EVENT.filter(finite))
def test_decode_inverts_encode(at: float, seq: int, event: e.Event) -> None:
    line = e.encode(e.Stamped(at, seq, event))
    assert e.decode(line) == e.Stamped(at, seq, event)
    assert "\n" not in line
    assert line.isascii()


@given(st.text())
def test_any_other_text_is_a_value_error(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        e.decode(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.sampled_from(sorted(e.KINDS)),
    st.dictionaries(st.sampled_from(["step", "plan", "state", "count", "tmpfs", "at", "seq"]), JSON),
)
def test_a_body_of_any_shape_is_an_event_or_a_value_error(kind: str, body: dict[str, object]) -> None:
    line = json.dumps({"at": 1.0, "seq": 1, **body, "kind": kind})
    try:
        decoded = e.decode(line)
    except ValueError:
        return
    assert decoded.event.kind == kind
    assert math.isfinite(decoded.at)


def test_fields_of_a_newer_version_are_ignored() -> None:
    line = '{"at":1,"seq":2,"kind":"noted","level":"info","text":"hello","colour":"blue"}'
    assert e.decode(line) == e.Stamped(1.0, 2, e.Noted("info", "hello"))


def test_a_kind_of_a_newer_version_is_unknown() -> None:
    assert e.decode('{"at":1,"seq":2,"kind":"moon.rose"}').event == e.Unknown("moon.rose")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{}",
        '{"at":1,"seq":2,"kind":"noted","lev',
        '{"at":1,"seq":2,"kind":"noted"}',
        '{"at":null,"seq":2,"kind":"noted","level":"info","text":""}',
        '{"at":NaN,"seq":2,"kind":"noted","level":"info","text":""}',
        '{"at":1,"seq":Infinity,"kind":"noted","level":"info","text":""}',
        '{"at":1,"seq":2,"kind":"refused","via":"pigeon","reason":"IPv6"}',
        '{"at":1,"seq":2,"kind":"refused","via":"dns","reason":"IPv6","count":"many"}',
        '{"at":1,"seq":2,"kind":"list.measured","names":1,"addresses":1,"failing":[1]}',
        '{"at":1,"seq":2,"kind":"boot.started","version":"1","plan":[3]}',
    ],
)
def test_invalid_lines_are_value_errors(line: str) -> None:
    with pytest.raises(ValueError):
        e.decode(line)


def test_refusals_of_one_kind_share_a_key_regardless_of_their_count() -> None:
    one = e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, 1, "dns", "a.example", program="curl")
    more = e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, 9, "dns", "a.example", program="node")
    other = e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, 1, "dns", "a.example", detail="TXT")
    assert one.key == more.key != other.key


def test_a_name_cannot_imitate_the_key_of_another_refusal() -> None:
    serious = e.Refused(e.Via.GATE, e.Reason.PUSH_SCOPE, 1, "tcp", "api.test", port=443, detail="x|80|cannot be checked|y")
    harmless = e.Refused(e.Via.GATE, e.Reason.UNCLEAR, 1, "tcp", f"api.test|443|{e.Reason.PUSH_SCOPE}|x", port=80, detail="y")
    assert serious.key != harmless.key


def test_kinds_are_indexed_by_their_names() -> None:
    assert all(name == kind.kind for name, kind in e.KINDS.items())
    assert all(set(name) <= set(string.ascii_lowercase + ".") for name in e.KINDS)
