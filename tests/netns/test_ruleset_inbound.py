"""The ruleset in its own network namespace, for inbound traffic: reachable services, allowed replies, and access to sshd."""

from __future__ import annotations

import json
import os

import pytest

from network.firewall import ruleset
from network.firewall.ruleset import Listener, Rules
from tests.netns.test_ruleset import alone

pytestmark = pytest.mark.netns

# Two machines: `here`, with the rules, and `there`.
MACHINES = r"""
ip link set lo up
ip link add here type veth peer name there
unshare -n sh -c 'echo $$ > "$0"; exec sleep 60' "$2" &
far=$!
while ! [ -s "$2" ]; do sleep 0.01; done
ip link set there netns "$(cat "$2")"
there="nsenter -t $(cat "$2") -n"
ip addr add 198.51.100.1/24 dev here; ip addr add 2001:db8::1/64 dev here nodad; ip link set here up
$there ip addr add 198.51.100.2/24 dev there; $there ip addr add 2001:db8::2/64 dev there nodad; $there ip link set there up
printf %s "$1" | nft -f -
sysctl -qw net.ipv4.ip_unprivileged_port_start=0
"""

REACH = (
    MACHINES
    + r"""setpriv --reuid="$3" --regid="$3" --clear-groups /usr/bin/python3 -c '
import socket, threading
def serve(server):
    while True:
        connection, _ = server.accept()
        connection.sendall(b"hello")
        connection.close()
for family, address in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1")):
    for port in (22, 8080):
        server = socket.create_server((address, port), family=family)
        threading.Thread(target=serve, args=(server,)).start()
print("up", flush=True)
' > "$2.up" &
server=$!
while ! [ -s "$2.up" ]; do sleep 0.01; done
shift 3
$there /usr/bin/python3 -c '
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reach(place):
    address, port = place.split()
    result = "nothing"
    try:  # a dropped packet shows only as a timeout
        with socket.create_connection((address, int(port)), timeout=30 if place in sys.argv[1:] else 2) as sock:
            result = "connected"
            result = sock.recv(10).decode()
    except OSError:
        pass
    return result
places = [f"{address} {port}" for address in ("198.51.100.1", "2001:db8::1") for port in (22, 8080)]
with ThreadPoolExecutor(len(places)) as pool:
    print(json.dumps(dict(zip(places, pool.map(reach, places)))))
' "$@"
kill $far $server 2>/dev/null || true
"""
)


@pytest.mark.parametrize(
    ("uid", "rules", "reached"),
    [
        (0, Rules(), {"2001:db8::1 22"}),  # a platform's own SSH
        (0, Rules(ssh=22), {"198.51.100.1 22", "2001:db8::1 22"}),
        (0, Rules(ssh=8080), {"198.51.100.1 8080", "2001:db8::1 8080", "2001:db8::1 22"}),
        (0, Rules(ssh=22, inbound=(8080,)), {"198.51.100.1 22", "198.51.100.1 8080", "2001:db8::1 22"}),
        (1000, Rules(ssh=22), set()),  # the agent, on the port of an sshd that has died
        (1000, Rules(ssh=8080), set()),
        (1000, Rules(inbound=(8080,)), {"198.51.100.1 8080"}),
        (956, Rules(metrics=Listener("0.0.0.0", 8080)), {"198.51.100.1 8080"}),
        (956, Rules(metrics=Listener("198.51.100.7", 8080)), set()),  # another address
        (1000, Rules(metrics=Listener("198.51.100.1", 8080)), set()),
    ],
)
def test_only_the_configured_ports_are_reachable_from_outside(
    tmp_path: os.PathLike[str], uid: int, rules: Rules, reached: set[str]
) -> None:
    """Also over IPv6, where replies leave without connection tracking, and SSH's only from root's sockets."""
    done = alone(REACH, ruleset.render(rules), os.fspath(tmp_path) + "/far", str(uid), *reached)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert {place for place, result in results.items() if result == "hello"} == reached
    assert "connected" not in results.values()  # not even the first packet of a reply leaves


LEAVE = (
    MACHINES
    + r"""$there /usr/bin/python3 -c '
import socket, threading
def serve(server):
    while True:
        server.accept()
for family, address in ((socket.AF_INET, "198.51.100.2"), (socket.AF_INET6, "2001:db8::2")):
    threading.Thread(target=serve, args=(socket.create_server((address, 443), family=family),)).start()
print("up", flush=True)
' > "$2.up" &
server=$!
while ! [ -s "$2.up" ]; do sleep 0.01; done
setpriv --reuid=1000 --regid=1000 --clear-groups /usr/bin/python3 -c '
import json, socket
results = []
for own, address in (("198.51.100.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")):
    for port in (22, 2222):
        try:
            socket.create_connection((address, 443), timeout=30, source_address=(own, port)).close()
            results.append("connected")
        except ConnectionRefusedError:
            results.append("refused")
        except OSError as error:
            results.append(str(error))
for own, kind in (("198.51.100.1", socket.SOCK_DGRAM), ("198.51.100.1", socket.SOCK_STREAM)):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((own, 2222))
        sock.setblocking(False)
        try:
            sock.connect(("198.51.100.2", 443)); sock.send(b"x"); results.append("sent")
        except BlockingIOError:
            results.append("waits")
        except OSError:
            results.append("refused")
print(json.dumps(results))
'
kill $far $server 2>/dev/null || true
"""
)


@pytest.mark.parametrize("port", [22, 2222])
def test_only_root_can_connect_from_sshds_port(tmp_path: os.PathLike[str], port: int) -> None:
    """The agent binds sshd's port as its source port; containers let every uid bind low ports."""
    done = alone(LEAVE, ruleset.render(Rules(ssh=port)), os.fspath(tmp_path) + "/far")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results[:4] == ["refused"] * 4
    assert "sent" not in results
    assert "connected" not in results


INSIDE = r"""
ip link set lo up
ip addr add 198.51.100.1/32 dev lo; ip addr add 2001:db8::1/128 dev lo nodad
printf %s "$1" | nft -f -
/usr/bin/python3 -c '
import socket, threading
def serve(server):
    while True:
        server.accept()
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for port in (22, 8080):
        threading.Thread(target=serve, args=(socket.create_server((address, port), family=family),)).start()
print("up", flush=True)
' > "$2.up" &
server=$!
while ! [ -s "$2.up" ]; do sleep 0.01; done
setpriv --reuid="$3" --regid="$3" --clear-groups /usr/bin/python3 -c '
import json, socket
results = {}
for address in ("127.0.0.1", "127.0.0.9", "198.51.100.1", "::1", "2001:db8::1", "::ffff:127.0.0.1"):
    for port in (22, 8080):
        try:
            socket.create_connection((address, port), timeout=30).close()
            results[f"{address} {port}"] = "open"
        except OSError as error:
            results[f"{address} {port}"] = type(error).__name__
print(json.dumps(results))
'
kill $server 2>/dev/null || true
"""


@pytest.mark.parametrize("uid", [0, 1000, 953, 956])
def test_from_inside_only_root_reaches_sshd(tmp_path: os.PathLike[str], uid: int) -> None:
    done = alone(INSIDE, ruleset.render(Rules(ssh=22, with_gate=True)), os.fspath(tmp_path) + "/far", str(uid))
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    ssh = {result for place, result in results.items() if place.endswith(" 22")}
    assert ssh == ({"open"} if uid == 0 else {"ConnectionRefusedError"}), results
    assert (results["127.0.0.1 8080"] == "open") == (uid not in (953, 956))  # the services make no connections over loopback
