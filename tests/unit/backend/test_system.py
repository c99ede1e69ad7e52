"""How a process becomes somebody: what root runs on the way, and in which order."""

from __future__ import annotations

import pytest

from backend.system import AGENT, COREDNS, GATE, GUARD, ROOT, SETPRIV, Finished, Identity


@pytest.mark.parametrize("identity", [AGENT, COREDNS, GUARD, GATE], ids=lambda identity: identity.name)
def test_what_root_runs_has_its_whole_path(identity: Identity) -> None:
    """The environment is that of the process to come: its PATH is no place to look for what is still run as root."""
    argv = identity.wrap(["true"])
    assert argv[0].startswith("/")
    assert SETPRIV in argv
    assert SETPRIV.startswith("/")


def test_the_agent_is_confined_before_it_is_the_agent() -> None:
    """A process of its uid without the filter could be attached to by another of its uid."""
    argv = AGENT.wrap(["true"])
    assert argv[: argv.index(SETPRIV)] == list(AGENT.through) != []
    assert argv[argv.index("--") + 1 :] == ["true"]


def test_root_is_root() -> None:
    assert ROOT.wrap(["true"]) == ["true"]


@pytest.mark.parametrize("said", ["", "nothing", "[" * 200_000, '{"a":' * 200_000])
def test_what_cannot_be_read_as_json_is_one_kind_of_error(said: str) -> None:
    with pytest.raises(ValueError):
        Finished((), 0, said, "").value()
    assert Finished((), 0, '{"a": [1]}', "").value() == {"a": [1]}
