"""How a running sandbox is found, by a name that is no file."""

import os
import socket

import pytest

from backend.sandbox.registry import Beacon, NoSandbox, find, running

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


def test_who_names_none_that_runs_is_told_which_do() -> None:
    beacon = Beacon(NAME + "-other")
    beacon.begin(4711)
    assert NAME + "-other" in running()
    with pytest.raises(NoSandbox, match=rf"those that run: .*{NAME}-other"):
        find(NAME + "-none")
    beacon.close()


def test_who_asks_and_goes_keeps_nobody_from_asking() -> None:
    name = f"{NAME}-gone"
    beacon = Beacon(name)
    beacon.begin(4711)
    for _ in range(20):  # one of them will have gone before it is answered
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.connect(f"\0codetainer/{name}")
    assert find(name) == 4711
    beacon.close()
