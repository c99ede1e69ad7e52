"""The ruleset in its own network namespace: every variant loads, old connections are cut, other tables stay unchanged."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import product

import pytest

from network.firewall import elements, ruleset
from network.firewall.elements import Element
from network.firewall.ruleset import Listener, Rules, Upstream

pytestmark = pytest.mark.netns


def alone(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in a new network namespace."""
    return subprocess.run(
        ["unshare", "-n", "sh", "-euc", script, "sh", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, check=False, env={"PATH": os.defpath + ":/usr/sbin:/sbin"},
    )  # fmt: skip


VARIANTS = [
    Rules(with_gate=gate, ssh=ssh, upstreams=upstreams, inbound=inbound, docker_servers=docker)
    for gate, ssh, upstreams, inbound, docker in product(
        (False, True),
        (0, 22, 2222),
        ((), (Upstream("203.0.113.53"), Upstream("203.0.113.54", 853, tls=True))),
        ((), (80, 8080)),
        ((), ("192.0.2.53", "192.0.2.54")),
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


def test_elements_are_refreshed_whether_they_exist_or_not() -> None:
    commands = elements.add(elements.OPEN, [Element("198.51.100.1", 443, 600)])
    gone = elements.delete(elements.OPEN, [Element("198.51.100.1", 443)])
    script = (
        'printf %s "$1" | nft -f -; for c in "$2" "$2" "$3" "$3" "$2"; do printf %s "$c" | nft -f -; done; '
        "nft list set inet codetainer open4"
    )
    done = alone(script, ruleset.closed(), commands, gone)
    assert done.returncode == 0, done.stderr
    assert "198.51.100.1 . 443 timeout 10m" in done.stdout


def test_other_tables_stay_unchanged() -> None:
    """Docker's embedded resolver needs its nat rules."""
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
sock = socket.create_connection(("198.51.100.2", 443), timeout=30)
sock.sendall(b"before"); sock.recv(100)
print("before", flush=True)
sys.stdin.readline()
sock.settimeout(int(sys.argv[1]))
try:
    sock.sendall(b"after"); print("after" if sock.recv(100) else "ended", flush=True)
except OSError:
    print("cut", flush=True)
' "$3" < "$2.go" > "$2.output" &
exec 5> "$2.go"
while ! grep -q before "$2.output"; do sleep 0.01; done
printf %s "$1" | nft -f -
echo >&5
while ! grep -qE 'after|ended|cut' "$2.output"; do sleep 0.01; done
kill $far $server 2>/dev/null || true
cat "$2.output"
"""


def test_a_flow_that_was_open_before_the_rules_is_cut(tmp_path: os.PathLike[str]) -> None:
    """Connection tracking considers it established, but it lacks our mark."""
    base = os.fspath(tmp_path) + "/far"
    os.mkfifo(base + ".go")
    os.chmod(os.fspath(tmp_path), 0o755)  # noqa: PTH101 (tmp_path may be any path-like)
    done = alone(FLOW, ruleset.closed(), base, "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["before", "cut"]


def test_without_rules_the_same_flow_goes_on(tmp_path: os.PathLike[str]) -> None:
    """Shows that the test above can fail."""
    base = os.fspath(tmp_path) + "/far"
    os.mkfifo(base + ".go")
    done = alone(FLOW, "", base, "60")
    assert done.stdout.split() == ["before", "after"], done.stderr


TALK = """
import errno, socket, sys, threading
refused = 0
for source, target in (pair.split(">") for pair in sys.argv[1:]):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as other:
        one.bind((source, 0)), other.bind((target, 0)), other.settimeout(30)
        try:
            one.sendto(b"question", other.getsockname())
            other.sendto(b"answer", other.recvfrom(100)[1])
        except PermissionError:
            refused += 1
            continue
    with socket.create_server((target, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2], 30, (source, 0))
        server.accept()[0].close()
        client.recv(1), client.close()
print(refused, open("/proc/sys/net/netfilter/nf_conntrack_count").read().strip())
"""
LOOPED = """
ip link set lo up; ip link add here type veth peer name there; ip link set there up
ip addr add 203.0.113.9/24 dev here; ip addr add 2001:db8::9/64 dev here nodad; ip link set here up
printf %s "$1" | nft -f -
shift
setpriv --reuid=1000 --regid=1000 --clear-groups /usr/bin/python3 -I -c "$@"
"""


@pytest.mark.parametrize("rules", [Rules(), Rules(with_gate=True, ssh=22, metrics=Listener("0.0.0.0", 9464))])
def test_loopback_traffic_of_the_agent_takes_no_room_in_conntrack(rules: Rules) -> None:
    """If the conntrack table were full, logins and DNS queries would fail."""
    pairs = ("127.0.0.1>127.0.0.1", "127.0.0.2>127.9.9.9", "127.0.0.1>203.0.113.9", "203.0.113.9>203.0.113.9",
             "2001:db8::9>::1", "2001:db8::9>2001:db8::9", "::1>::1", "127.0.0.11>127.0.0.3")  # fmt: skip
    done = alone(LOOPED, ruleset.render(rules), TALK, *pairs)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "0"]  # Docker's resolver is tracked, so no process can send from its address


DIAL = """
import socket, sys
def dialled():
    with socket.socket() as sock:
        sock.settimeout(0.4)
        try:
            sock.connect(("198.51.100.1", 443))
        except TimeoutError:
            return False
        return True
print(*[sum(dialled() for _ in range(int(count))) for count in sys.argv[1:]])
"""
GATE = """
import socket, time
server = socket.create_server(("127.0.0.55", 443), backlog=100)
print("up", flush=True)
time.sleep(60)
"""
DIALLED = """
ip link set lo up; ip link add here type veth peer name there; ip link set there up
ip addr add 198.51.100.9/24 dev here; ip link set here up
sysctl -qw net.ipv4.ip_unprivileged_port_start=0
printf %s "$1" | nft -f -
setpriv --reuid=955 --regid=955 --clear-groups /usr/bin/python3 -I -c "$2" > "$3" &
gate=$!
while ! [ -s "$3" ]; do sleep 0.01; done
setpriv --reuid=1000 --regid=1000 --clear-groups /usr/bin/python3 -I -c "$4" 20
kill $gate
nft list counter inet codetainer held_back
"""


def test_new_connections_of_the_agent_are_dropped_before_conntrack_is_full(tmp_path: os.PathLike[str]) -> None:
    """Dropped rather than rejected, so that TCP retries."""
    rules = ruleset.render(Rules(with_gate=True, flows=160), [(elements.OPEN, Element("198.51.100.1", 443))])
    done = alone(DIALLED, rules, GATE, os.fspath(tmp_path) + "/up", DIAL)
    assert done.returncode == 0, done.stderr
    assert 10 <= int(done.stdout.split()[0]) < 20
    assert "packets 0 " not in done.stdout


RESOLVER = """
import socket, sys, threading
stream = socket.create_server(("198.51.100.2", 53))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("198.51.100.2", 53))
print("up", flush=True)
def serve():
    while True:
        stream.accept()[0].sendall(b"answer")
threading.Thread(target=serve, daemon=True).start()
while True:
    datagrams.sendto(b"answer", datagrams.recvfrom(100)[1])
"""
QUERIES = """
import os, socket
def query(kind, address, port, source=0):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(30)
        try:
            sock.bind(("", source))
            sock.connect((address, port))
            sock.send(b"question")
            return sock.recv(100).decode() + str(sock.getsockname()[1] if source else "")
        except OSError:
            return "refused"
def as_agent(*arguments):
    os.seteuid(1000)  # a socket belongs to the file system uid of the process that opens it
    try:
        return query(*arguments)
    finally:
        os.seteuid(0)
UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
for kind in (UDP, TCP):
    to = (kind, "198.51.100.2", 53)
    print(query(*to), as_agent(*to), query(kind, "198.51.100.2", 54), query(kind, "198.51.100.3", 53))
to = (UDP, "198.51.100.2", 53, 40001)
print(query(*to), as_agent(*to))
"""
QUERIED = """
ip link set lo up
ip link add here type veth peer name there
unshare -n sh -c 'echo $$ > "$0"; exec sleep 60' "$2" &
far=$!
while ! [ -s "$2" ]; do sleep 0.01; done
ip link set there netns "$(cat "$2")"
there="nsenter -t $(cat "$2") -n"
ip addr add 198.51.100.1/24 dev here; ip link set here up
$there ip addr add 198.51.100.2/24 dev there; $there ip addr add 198.51.100.3/24 dev there; $there ip link set there up
$there /usr/bin/python3 -I -c "$3" > "$2.up" &
server=$!
while ! [ -s "$2.up" ]; do sleep 0.01; done
printf %s "$1" | nft -f -
/usr/bin/python3 -I -c "$4"
kill $far $server 2>/dev/null || true
"""


@pytest.mark.parametrize(("servers", "answered"), [(("198.51.100.2",), "answer"), ((), "refused")])
def test_dockerd_alone_forwards_queries_to_its_own_servers(
    tmp_path: os.PathLike[str], servers: tuple[str, ...], answered: str
) -> None:
    """dockerd's sockets belong to root. The agent reaches nothing, even from the source port of an allowed query."""
    rules = ruleset.render(Rules(upstreams=(Upstream(ruleset.DOCKER_ADDRESS),), docker_servers=servers))
    done = alone(QUERIED, rules, os.fspath(tmp_path) + "/far", RESOLVER, QUERIES)
    assert done.returncode == 0, done.stderr
    udp, tcp, reused = done.stdout.splitlines()
    assert udp == tcp == f"{answered} refused refused refused"
    assert reused == (f"{answered}40001 refused" if servers else "refused refused")
