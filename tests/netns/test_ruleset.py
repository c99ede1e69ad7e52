"""The ruleset in a kernel of its own: every variant loads, old flows are cut, other people's tables are left alone."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import product

import pytest

from network import elements, ruleset
from network.elements import Element
from network.ruleset import Listener, Rules, Upstream

pytestmark = pytest.mark.netns


def alone(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in a network namespace of its own."""
    return subprocess.run(
        ["unshare", "-n", "sh", "-euc", script, "sh", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, check=False, env={"PATH": os.defpath + ":/usr/sbin:/sbin"},
    )  # fmt: skip


VARIANTS = [
    Rules(with_gate=gate, ssh=ssh, upstreams=upstreams, inbound=inbound)
    for gate, ssh, upstreams, inbound in product(
        (False, True),
        (0, 22, 2222),
        ((), (Upstream("203.0.113.53"), Upstream("203.0.113.54", 853, tls=True))),
        ((), (80, 8080)),
    )
] + [Rules(metrics=Listener(address, 9464), ssh=22, with_gate=True) for address in ("0.0.0.0", "203.0.113.9")]


@pytest.mark.parametrize("rules", VARIANTS)
def test_every_variant_loads_and_loads_again_with_its_elements(rules: Rules) -> None:
    text = ruleset.render(
        rules, [(elements.OPEN, Element("198.51.100.1", 443, 60)), (elements.DIRECT, Element("198.51.100.1", 22))]
    )
    done = alone('printf %s "$1" | nft -f -; printf %s "$1" | nft -f -; nft list set inet codetainer open4', text)
    assert done.returncode == 0, done.stderr
    assert "198.51.100.1 . 443" in done.stdout


def test_elements_are_refreshed_whether_they_are_there_or_not() -> None:
    commands = elements.add(elements.OPEN, [Element("198.51.100.1", 443, 600)])
    gone = elements.delete(elements.OPEN, [Element("198.51.100.1", 443)])
    script = (
        'printf %s "$1" | nft -f -; for c in "$2" "$2" "$3" "$3" "$2"; do printf %s "$c" | nft -f -; done; '
        "nft list set inet codetainer open4"
    )
    done = alone(script, ruleset.closed(), commands, gone)
    assert done.returncode == 0, done.stderr
    assert "198.51.100.1 . 443 timeout 10m" in done.stdout


def test_other_peoples_tables_are_left_alone() -> None:
    """Docker's embedded resolver lives in nat rules."""
    script = (
        "nft add table ip nat; nft add chain ip nat DOCKER_OUTPUT; "
        "nft add rule ip nat DOCKER_OUTPUT ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:35353; "
        'printf %s "$1" | nft -f -; nft -j list table ip nat'
    )
    done = alone(script, ruleset.closed())
    assert done.returncode == 0, done.stderr
    assert any("rule" in item for item in json.loads(done.stdout)["nftables"])


FLOW = r"""
ip link set lo up
ip link add here type veth peer name there
unshare -n sh -c 'echo $$ > "$0"; exec sleep 60' "$2" &
far=$!
while ! [ -s "$2" ]; do sleep 0.01; done
ip link set there netns "$(cat "$2")"
there="nsenter -t $(cat "$2") -n"
ip addr add 198.51.100.1/24 dev here; ip link set here up
$there ip addr add 198.51.100.2/24 dev there; $there ip link set there up; $there ip link set lo up
$there /usr/bin/python3 -c '
import socket
server = socket.create_server(("198.51.100.2", 443))
print("listening", flush=True)
connection, _ = server.accept()
while data := connection.recv(100):
    connection.sendall(data)
' > "$2.up" &
server=$!
while ! [ -s "$2.up" ]; do sleep 0.01; done
setpriv --reuid=1000 --regid=1000 --clear-groups /usr/bin/python3 -c '
import socket, sys, time
sock = socket.create_connection(("198.51.100.2", 443), timeout=10)
sock.sendall(b"before"); sock.recv(100)
print("before", flush=True)
sys.stdin.readline()
sock.settimeout(3)
try:
    sock.sendall(b"after"); print("after" if sock.recv(100) else "ended", flush=True)
except OSError:
    print("cut", flush=True)
' < "$2.go" > "$2.said" &
exec 5> "$2.go"
while ! grep -q before "$2.said"; do sleep 0.01; done
printf %s "$1" | nft -f -
echo >&5
while ! grep -qE 'after|ended|cut' "$2.said"; do sleep 0.01; done
kill $far $server 2>/dev/null || true
cat "$2.said"
"""


def test_a_flow_that_was_open_before_the_rules_is_cut(tmp_path: os.PathLike[str]) -> None:
    """Connection tracking knows it as established; it has no mark of ours."""
    base = os.fspath(tmp_path) + "/far"
    os.mkfifo(base + ".go")
    os.chmod(os.fspath(tmp_path), 0o755)  # noqa: PTH101 (tmp_path may be any path-like)
    done = alone(FLOW, ruleset.closed(), base)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["before", "cut"]


def test_without_rules_the_same_flow_goes_on(tmp_path: os.PathLike[str]) -> None:
    """The test above can fail."""
    base = os.fspath(tmp_path) + "/far"
    os.mkfifo(base + ".go")
    done = alone(FLOW, "", base)
    assert done.stdout.split() == ["before", "after"], done.stderr


REACH = r"""
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
setpriv --reuid="$3" --regid="$3" --clear-groups /usr/bin/python3 -c '
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
$there /usr/bin/python3 -c '
import json, socket
found = {}
for address in ("198.51.100.1", "2001:db8::1"):
    for port in (22, 8080):
        place = f"{address} {port}"
        try:
            with socket.create_connection((address, port), timeout=2) as sock:
                found[place] = "connected"
                found[place] = sock.recv(10).decode()
        except OSError:
            found.setdefault(place, "nothing")
print(json.dumps(found))
'
kill $far $server 2>/dev/null || true
"""


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
def test_from_outside_only_ssh_and_what_was_said_is_reached(
    tmp_path: os.PathLike[str], uid: int, rules: Rules, reached: set[str]
) -> None:
    """Over IPv6 too, where replies are let out without connection tracking; and of SSH from root's own sockets only."""
    done = alone(REACH, ruleset.render(rules), os.fspath(tmp_path) + "/far", str(uid))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {place for place, said in found.items() if said == "hello"} == reached
    assert "connected" not in found.values()  # not even the first packet of an answer leaves


LEAVE = r"""
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
$there /usr/bin/python3 -c '
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
found = []
for own, address in (("198.51.100.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")):
    for port in (22, 2222):
        try:
            socket.create_connection((address, 443), timeout=1, source_address=(own, port)).close()
            found.append("connected")
        except ConnectionRefusedError:
            found.append("refused")
        except OSError as error:
            found.append(str(error))
for own, kind in (("198.51.100.1", socket.SOCK_DGRAM), ("198.51.100.1", socket.SOCK_STREAM)):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((own, 2222))
        sock.setblocking(False)
        try:
            sock.connect(("198.51.100.2", 443)); sock.send(b"x"); found.append("sent")
        except BlockingIOError:
            found.append("waits")
        except OSError:
            found.append("refused")
print(json.dumps(found))
'
kill $far $server 2>/dev/null || true
"""


@pytest.mark.parametrize("port", [22, 2222])
def test_nobody_but_root_uses_sshds_port_to_go_out(tmp_path: os.PathLike[str], port: int) -> None:
    """The agent binds sshd's port as its source, where the kernel lets everybody bind low ports (as in containers)."""
    done = alone(LEAVE, ruleset.render(Rules(ssh=port)), os.fspath(tmp_path) + "/far")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found[:4] == ["refused"] * 4
    assert "sent" not in found
    assert "connected" not in found


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
found = {}
for address in ("127.0.0.1", "127.0.0.9", "198.51.100.1", "::1", "2001:db8::1", "::ffff:127.0.0.1"):
    for port in (22, 8080):
        try:
            socket.create_connection((address, port), timeout=2).close()
            found[f"{address} {port}"] = "open"
        except OSError as error:
            found[f"{address} {port}"] = type(error).__name__
print(json.dumps(found))
'
kill $server 2>/dev/null || true
"""


@pytest.mark.parametrize("uid", [0, 1000, 953, 956])
def test_from_inside_only_root_reaches_sshd(tmp_path: os.PathLike[str], uid: int) -> None:
    done = alone(INSIDE, ruleset.render(Rules(ssh=22, with_gate=True)), os.fspath(tmp_path) + "/far", str(uid))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ssh = {said for place, said in found.items() if place.endswith(" 22")}
    assert ssh == ({"open"} if uid == 0 else {"ConnectionRefusedError"}), found
    assert (found["127.0.0.1 8080"] == "open") == (uid not in (953, 956))  # the services begin nothing on loopback
