"""The registry of running sandboxes."""

import os
import socket

import pytest

from backend.sandbox.registry import Beacon, NoSandbox, find, running

NAME = f"unit-{os.getpid()}"


def test_a_sandbox_is_found_while_it_runs() -> None:
    with pytest.raises(NoSandbox, match="codetainer up"):
        find(NAME)
    beacon = Beacon(NAME)
    beacon.begin(4711)
    assert find(NAME) == 4711
    assert find(NAME) == 4711
    beacon.close()


def test_a_name_cannot_be_used_twice() -> None:
    beacon = Beacon(NAME + "-twice")
    with pytest.raises(NoSandbox, match="--name"):
        Beacon(NAME + "-twice")
    beacon.close()
    Beacon(NAME + "-twice").close()


def test_an_unknown_name_lists_the_running_sandboxes() -> None:
    beacon = Beacon(NAME + "-other")
    beacon.begin(4711)
    assert NAME + "-other" in running()
    with pytest.raises(NoSandbox, match=rf"Running: .*{NAME}-other"):
        find(NAME + "-none")
    beacon.close()


def test_clients_that_hang_up_do_not_disturb_others() -> None:
    name = f"{NAME}-gone"
    beacon = Beacon(name)
    beacon.begin(4711)
    for _ in range(20):  # at least one hangs up before it gets an answer
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(f"\0codetainer/{name}")
    assert find(name) == 4711
    beacon.close()
