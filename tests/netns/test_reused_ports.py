"""A port that is used again while conntrack remembers a flow of another owner does not make an open address refuse.

Agent and gate connect from one address, often to the same one. Linux gives a port to whoever comes next.
"""

from __future__ import annotations

import pytest

from backend.contract.events import Refused, Via
from backend.system import AGENT, GATE, Identity
from network.firewall.ruleset import mark
from tests.netns.sandbox import Running
from tests.netns.test_gate import GITHUB, resolve

pytestmark = pytest.mark.netns

OPEN, CLOSED = GITHUB, "198.51.100.99"
# The states in which conntrack takes a SYN for a part of the old flow, and does not begin a new one.
STATES = ("ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK")
OWNERS = {"agent": (AGENT, GATE), "gate": (GATE, AGENT)}
# Longer than the kernel's one second until it repeats a SYN, and shorter than the lifetime of the entry.
CONNECT = """
import socket, sys
with socket.socket() as sock:
    sock.bind(("", int(sys.argv[2])))
    sock.settimeout(30)
    try:
        print("connected" if sock.connect_ex((sys.argv[1], 443)) == 0 else "refused")
    except TimeoutError:
        print("silence")
"""


def remember(sandbox: Running, owner: Identity, address: str, port: int, state: str) -> None:
    """Adds the entry of a flow whose socket is gone."""
    own = sandbox.root("hostname", "-I").stdout.split()[0]
    done = sandbox.root(
        "conntrack", "-I", "-p", "tcp", "--orig-src", own, "--orig-dst", address, "--sport", str(port), "--dport", "443",
        "--reply-src", address, "--reply-dst", own, "--reply-port-src", "443", "--reply-port-dst", str(port),
        "--state", state, "--timeout", "600", "--mark", str(mark(owner.uid)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def connect(sandbox: Running, identity: Identity, address: str, port: int) -> str:
    """Connects from a port and returns what came of it."""
    run = ["/usr/bin/python3", "-I", "-c", CONNECT, address, str(port)]
    done = (
        sandbox.agent(*run) if identity is AGENT else sandbox.root("setpriv", f"--reuid={identity.uid}", "--clear-groups", *run)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dropped(sandbox: Running) -> int:
    """The number of SYNs that waited for the guard."""
    return int(sandbox.root("nft", "list", "counter", "inet", "codetainer", "reused").stdout.split("packets ")[1].split()[0])


@pytest.mark.parametrize("who", OWNERS)
def test_an_open_address_is_reached_from_the_port_of_an_ended_connection(sandbox: Running, who: str) -> None:
    resolve(sandbox, "github.com")
    identity, other = OWNERS[who]
    first = 20000 + 100 * list(OWNERS).index(who)  # outside the range from which Linux takes ports
    for number, state in enumerate(STATES):
        remember(sandbox, other, OPEN, first + number, state)
        before = dropped(sandbox)
        assert connect(sandbox, identity, OPEN, first + number) == "connected", state
        assert dropped(sandbox) > before, "the entry was not in the way"
    assert not [row for row in sandbox.events(Refused) if row.via is Via.FIREWALL and row.address == OPEN]


def test_a_closed_address_is_still_refused(sandbox: Running) -> None:
    remember(sandbox, GATE, CLOSED, 20200, "FIN_WAIT")
    assert connect(sandbox, AGENT, CLOSED, 20200) == "refused"


def test_a_flow_of_another_owner_is_left_alone(sandbox: Running) -> None:
    """The guard's queries to the resolver, for example."""
    remember(sandbox, Identity("other", 4242), OPEN, 20300, "ESTABLISHED")
    resolve(sandbox, "github.com")
    assert connect(sandbox, AGENT, OPEN, 20300) == "refused"
