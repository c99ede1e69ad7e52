"""How a running sandbox is found, by a name that is no file."""

import os

import pytest

from backend.sandbox.rendezvous import Beacon, NoSandbox, find

NAME = f"unit-{os.getpid()}"


def test_it_is_found_while_it_runs() -> None:
    with pytest.raises(NoSandbox, match="codetainer up"):
        find(NAME)
    beacon = Beacon(NAME)
    beacon.begin(4711)
    assert find(NAME) == 4711
    assert find(NAME) == 4711
    beacon.close()


def test_a_name_is_taken_once() -> None:
    beacon = Beacon(NAME + "-twice")
    with pytest.raises(NoSandbox, match="--name"):
        Beacon(NAME + "-twice")
    beacon.close()
    Beacon(NAME + "-twice").close()
