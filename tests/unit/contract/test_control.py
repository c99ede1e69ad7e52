"""Requests and replies cross the control socket unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract import control

FINITE = st.floats(allow_nan=False, allow_infinity=False)
REQUESTS = st.one_of(
    st.builds(control.Allow, seconds=st.none() | FINITE),
    st.builds(control.Mute, seconds=st.none() | FINITE),
    st.builds(control.Acknowledge, until=FINITE),
    *(st.from_type(kind) for kind in control.VERBS.values() if kind not in (control.Allow, control.Mute, control.Acknowledge)),
)


@given(REQUESTS)
def test_requests_round_trip(request_: control.Request) -> None:
    line = control.encode_request(request_)
    assert "\n" not in line
    assert control.decode_request(line) == request_


@given(st.builds(control.Reply, data=st.dictionaries(st.text(), st.integers() | st.text())))
def test_replies_round_trip(reply: control.Reply) -> None:
    assert control.decode_reply(control.encode_reply(reply)) == reply


@given(st.text())
def test_any_line_is_a_request_or_a_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        control.decode_request(line)


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"verb":"dance"}', '{"verb":"allow"}', '{"verb":"allow","name":3}', '{"verb":["allow"]}', "null", "3"]
)
def test_invalid_requests_are_value_errors(line: str) -> None:
    with pytest.raises(ValueError, match="cannot"):
        control.decode_request(line)


def test_every_request_has_its_verb_and_help() -> None:
    classes = {
        cls for cls in vars(control).values()
        if isinstance(cls, type) and issubclass(cls, control.Request) and cls is not control.Request
    }  # fmt: skip
    assert classes == set(control.VERBS.values())
    assert all(cls.description().endswith(".") and "(" not in cls.description()[: len(cls.__name__) + 1] for cls in classes)


def test_the_usage_has_every_argument() -> None:
    assert control.Allow.usage() == "codetainer allow NAME [--port PORTS] [--for TIME] [--yes] [--read] [--grant GRANT]"
    assert control.RestartSession.usage() == "codetainer session restart [--yes]"
    assert control.Acknowledge.usage() == "codetainer acknowledge"


def test_the_command_is_quoted_for_a_shell() -> None:
    request_ = control.Allow("a; id", "443,8443/tls", 5400.0, True)
    assert request_.typed() == "codetainer allow 'a; id' --port 443,8443/tls --for 90m --yes"
    assert control.Acknowledge(5.0, "x").typed() == "codetainer acknowledge"
