"""The firewall as text: one `inet` table, which closes both IPv4 and IPv6, loaded in one transaction.

Sources: nft(8); docs/security.md explains the attacks behind the rules. All addresses in rules are from the specification or
from sets that only the guard and the supervisor fill.

Length: one table, whose rules must be read together.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from string import Template

from network.firewall import elements
from network.firewall.elements import DIRECT, HTTP, NOTIFY, OPEN, REFUSED, REFUSED_SECONDS, SERIOUS, TABLE, Element

NFLOG_GROUP = 100
NFLOG_RATE = 50  # reports per second of ordinary refusals, and as many of serious ones; the counters have no limit
REUSED = "reused"  # prefix of reports about ports whose old flow is in the way of a new one
# The kernel keeps a flow for two minutes after its end (nf_conntrack_proto_tcp.c: TIME_WAIT), and the gate's half as well. The
# rate limit keeps the agent's flows below five eighths of the table. Excess packets are dropped, not refused: TCP retries.
FLOWS = 65536  # size of the conntrack table on all but the smallest machines (nf_conntrack-sysctl.rst)
FLOW_SECONDS = 120

COREDNS_ADDRESS = "127.0.0.53"
GUARD_ADDRESS = "127.0.0.54"
GATE_ADDRESS = "127.0.0.55"
DOCKER_ADDRESS = "127.0.0.11"
GATE_TLS_PORT = 443
GATE_HTTP_PORT = 80

# The special-purpose registry (RFC 6890): no public host is in these ranges. They are refused before the allowlist is checked.
SPECIAL_PURPOSE = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
)  # fmt: skip
# The same for IPv6, which is closed anyway: this host, IPv4-mapped and NAT64 addresses, private and link-local networks.
SPECIAL_PURPOSE6 = ("::/127", "::ffff:0:0/96", "64:ff9b::/96", "fc00::/7", "fe80::/10", "fec0::/10")


@dataclass(frozen=True, slots=True, order=True)
class Upstream:
    """A resolver that only the guard may query. `tls`: DNS over TLS (TCP only), otherwise UDP and TCP."""

    address: str
    port: int = 53
    tls: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """The listening address of the metrics: an IPv4 address of the sandbox (0.0.0.0: all) and a TCP port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The parameters of the table: uids, resolvers, ports."""

    agent: int = 1000
    coredns: int = 953
    guard: int = 954
    gate: int = 955
    exporter: int = 956
    reader: int = 958
    notifier: int = 959
    with_gate: bool = False
    upstreams: tuple[Upstream, ...] = ()
    docker_servers: tuple[str, ...] = ()  # IPv4 resolvers that dockerd asks from this namespace, as root
    inbound: tuple[int, ...] = ()  # TCP ports that are open to the outside, in addition to SSH's
    ssh: int = 0  # the port of our own sshd, or 0
    metrics: Listener | None = None
    notify: tuple[Upstream, ...] | None = None  # resolvers that a sender of notifications may query; None: nothing is sent
    flows: int = FLOWS  # size of the conntrack table


def mark(uid: int) -> int:
    """The conntrack mark of flows that a uid has opened."""
    return 0x1C7E0000 + uid


SSH_MARK = 0x1C7E0000 + 0xFFFF
INBOUND_MARK = SSH_MARK - 1  # flows to a port of CODETAINER_INBOUND_PORTS
DOCKER_MARK = SSH_MARK - 2  # queries that dockerd forwards
ANY = "0.0.0.0"
PLATFORM_SSH = 22  # SSH of the platform (Fly.io), on IPv6; the rules always include it, because it cannot be detected here

# A flow may continue only if these rules have marked it. Flows that conntrack knew before they were loaded have no mark.
TABLE_TEMPLATE = Template("""\
add table $table
delete table $table
table $table {
  set never4 { type ipv4_addr; flags interval; auto-merge; elements = { $special } }
  set $open { type ipv4_addr . inet_service; flags timeout; size 65536; }
  set $http { type ipv4_addr . inet_service; flags timeout; size 16384; }
  set $direct { type ipv4_addr . inet_service; flags timeout; size 8192; }
  set $notify { type ipv4_addr . inet_service; flags timeout; size 64; }
  set $refused { type ipv4_addr . inet_proto . inet_service; flags dynamic,timeout; timeout $counted; size 4096; counter; }
  set $serious { type ipv4_addr . inet_proto . inet_service; flags dynamic,timeout; timeout $counted; size 4096; counter; }
  counter refused_agent {}
  counter refused_other {}
  counter refused_ownerless {}
  counter refused_ipv6 {}
  counter inbound {}
  counter carried_direct {}
  counter held_back {}
  counter reused {}
  limit new_flows { rate over $flows_rate/second burst $flows_burst packets }
  counter asked_upstream {}

  # Loopback is not tracked, so that the agent cannot fill the conntrack table for everyone else. Exceptions are the two
  # addresses that depend on NAT: the gate, and Docker's embedded resolver, whose NAT rules change the port.
  chain untracked_in { type filter hook prerouting priority -300; policy accept;
    iif "lo" ip saddr != { $by_nat } ip daddr != { $by_nat } notrack
    iif "lo" meta nfproto ipv6 notrack
    iif != "lo" meta nfproto ipv6 tcp dport $ssh_ports6 notrack
  }
  chain untracked_out { type filter hook output priority -300; policy accept;
    oif "lo" ip saddr != { $by_nat } ip daddr != { $by_nat } notrack
    oif "lo" meta nfproto ipv6 notrack
    oif != "lo" meta nfproto ipv6 tcp sport $ssh_ports6 notrack
  }
$divert
  chain out { type filter hook output priority 0; policy drop;
    meta nfproto ipv6 jump out6
    # Only its owner may send from a service's address: a process that takes the port of a dead service gets nowhere.
    ip saddr $coredns_address meta skuid != $coredns goto refuse
    ip saddr $guard_address meta skuid != $guard goto refuse
    ip saddr $gate_address meta skuid != $gate goto refuse
    ip saddr $docker_address meta skuid $agent goto refuse
    # A new flow on a port whose last flow, of another owner, conntrack still remembers: see the chain.
    tcp flags & (fin|syn|rst|ack) == syn ct direction original ct mark $gate_mark meta skuid $agent goto reused
    tcp flags & (fin|syn|rst|ack) == syn ct direction original ct mark $agent_mark meta skuid $gate goto reused
    # Only its owner may continue a flow, or packets without a socket (FIN and RST of a process that has ended).
    ct direction original ct mark $guard_mark meta skuid != $guard goto refuse
    ct direction original ct mark $gate_mark meta skuid != $gate goto refuse
    ct direction original ct mark $agent_mark meta skuid != $agent goto refuse
    ct direction original ct mark $docker_mark meta skuid != 0 goto refuse
    ct direction original ct mark $notifier_mark meta skuid != $notifier goto refuse
    ct direction reply ct mark $ssh_mark meta skuid != 0 goto refuse
    ct direction reply ct mark $exporter_mark meta skuid != $exporter goto refuse
    ct mark { $agent_mark, $guard_mark, $gate_mark, $ssh_mark, $exporter_mark, $docker_mark, $notifier_mark } \\
      ct state established accept
$diverted
    oif "lo" jump loopback
$replies
$upstream_rules
$docker_rules
$notify_rules
    ip daddr @never4 goto refuse
$open_rules
    goto refuse
  }
  chain pace { limit name new_flows counter name held_back drop; }
  chain reused {
    # Agent and gate connect from one address, often to the same one, so each gets ports that the other has just used. conntrack
    # forgets a flow up to two minutes after its socket. Refused, the SYN would end in "connection refused" at an open address:
    # instead the guard deletes the old entry (backend/guard/conntrack.py), and TCP repeats the SYN after a second.
    limit rate $rate/second burst $burst packets log prefix "$reused_prefix " group $group snaplen 96 queue-threshold 1
    counter name reused drop
  }
  chain loopback {
    # A packet without a socket is an answer of the kernel (RST, ICMP port unreachable).
    meta skuid 0-4294967294 jump loopback_socket
    accept
  }
  chain loopback_socket {
$outside_only
    ip daddr $coredns_address udp dport 53 accept
    ip daddr $coredns_address tcp dport 53 accept
    ip daddr $coredns_address meta skuid { 0, $coredns } tcp dport { 8180, 8181, 9153 } accept
    ip saddr $coredns_address meta skuid $coredns accept
    ip daddr $guard_address meta skuid $coredns meta l4proto { tcp, udp } th dport 53 accept
    ip saddr $guard_address meta skuid $guard accept
    ip saddr $gate_address meta skuid $gate ct direction reply accept
    ip daddr $docker_address meta skuid $docker_clients accept
    ip daddr { $docker_address, $coredns_address, $guard_address, $gate_address } goto refuse
$metrics_within    # The services open no connections on loopback: one that is tricked into dialling 127.0.0.1 gets nowhere.
    meta skuid { $coredns, $guard, $gate, $exporter, $reader, $notifier } ct state { new, untracked } goto refuse
    accept
  }
  chain out6 {
    # SSH is the operator's way in: no process inside but root's may connect to it.
    oif "lo" tcp dport $ssh_ports6 meta skuid != 0 goto refuse
    oif "lo" ip6 saddr ::1 ip6 daddr ::1 accept
    oif "lo" fib daddr type local accept
    # Replies of SSH, stateless, because not every platform's kernel tracks IPv6. Never a SYN, and only from root's sockets, or
    # without a socket: FIN and RST of the kernel.
    tcp sport $ssh_ports6 tcp flags & (syn|ack) != syn meta skuid 0 accept
    tcp sport $ssh_ports6 meta skuid 0-4294967294 goto refuse
    tcp sport $ssh_ports6 tcp flags & (syn|ack) != syn accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld2-listener-report } \\
      ip6 hoplimit { 1, 255 } accept
    goto refuse
  }
  chain refuse {
    # Refusals that no entry could allow have a log limit and a set of their own, so that a flood of others cannot hide them.
    meta skuid $agent ip daddr @never4 goto refuse_serious
    meta skuid $agent ip6 daddr { $special6 } goto refuse_serious
    meta skuid $agent oif "lo" goto refuse_serious
    meta skuid $agent meta nfproto ipv4 meta l4proto { tcp, udp, sctp } \\
      add @$refused { ip daddr . meta l4proto . th dport }
    meta skuid $agent counter name refused_agent limit rate $rate/second burst $burst packets \\
      log prefix "agent " group $group snaplen 96 queue-threshold 1
    meta skuid != $agent counter name refused_other limit rate 10/second burst 30 packets \\
      log prefix "other " group $group snaplen 96 queue-threshold 1
    meta skuid 0-4294967294 goto say_no
    counter name refused_ownerless
    drop
  }
  chain refuse_serious {
    meta nfproto ipv4 meta l4proto { tcp, udp, sctp } \\
      add @$serious { ip daddr . meta l4proto . th dport }
    counter name refused_agent limit rate $rate/second burst $burst packets \\
      log prefix "agent " group $group snaplen 96 queue-threshold 1
    goto say_no
  }
  chain say_no {
    meta nfproto ipv6 counter name refused_ipv6
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }
  chain in { type filter hook input priority 0; policy drop;
    iif "lo" accept
    ct mark { $agent_mark, $guard_mark, $gate_mark, $ssh_mark, $exporter_mark, $docker_mark, $notifier_mark } \\
      ct state established accept
    ct mark { $agent_mark, $guard_mark, $gate_mark, $docker_mark, $notifier_mark } ct state related \\
      icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
$inbound_rules
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, packet-too-big } accept
    counter name inbound
  }
  chain through { type filter hook forward priority 0; policy drop; }
}
""")


def render(rules: Rules, kept: Iterable[tuple[str, Element]] = ()) -> str:
    """Returns the whole table. `kept` (set name, element) are added in the same transaction, so a reload closes nothing."""
    agent, gate = rules.agent, rules.gate
    gate_dports = f"{{ {GATE_TLS_PORT}, {GATE_HTTP_PORT} }}"
    text = TABLE_TEMPLATE.substitute(
        table=TABLE,
        special=", ".join(SPECIAL_PURPOSE),
        special6=", ".join(SPECIAL_PURPOSE6),
        open=OPEN,
        http=HTTP,
        direct=DIRECT,
        refused=REFUSED,
        serious=SERIOUS,
        notify=NOTIFY,
        counted=f"{REFUSED_SECONDS}s",
        group=NFLOG_GROUP,
        rate=NFLOG_RATE,
        burst=NFLOG_RATE * 2,
        reused_prefix=REUSED,
        flows_rate=max(1, rules.flows // 4 // FLOW_SECONDS),
        flows_burst=max(1, rules.flows // 16),
        coredns_address=COREDNS_ADDRESS,
        guard_address=GUARD_ADDRESS,
        gate_address=GATE_ADDRESS,
        docker_address=DOCKER_ADDRESS,
        by_nat=f"{GATE_ADDRESS}, {DOCKER_ADDRESS}",
        agent=agent,
        coredns=rules.coredns,
        guard=rules.guard,
        gate=gate,
        agent_mark=f"{mark(agent):#x}",
        guard_mark=f"{mark(rules.guard):#x}",
        gate_mark=f"{mark(gate):#x}",
        ssh_mark=f"{SSH_MARK:#x}",
        docker_mark=f"{DOCKER_MARK:#x}",
        divert=_divert(rules) if rules.with_gate else "",
        diverted=(
            _new_flows(
                rules, agent, f"ct status dnat ct direction original ip daddr {GATE_ADDRESS} tcp dport {gate_dports}", ""
            )
            if rules.with_gate
            else ""
        ),
        upstream_rules="\n".join(
            [_upstream(rules.guard, upstream) for upstream in rules.upstreams]
            + [_upstream(rules.notifier, upstream) for upstream in rules.notify or ()]
        ),
        notify_rules=_notify(rules),
        notifier=rules.notifier,
        notifier_mark=f"{mark(rules.notifier):#x}",
        docker_clients=f"{{ {rules.guard}, {rules.notifier} }}" if rules.notify is not None else str(rules.guard),
        docker_rules="\n".join(_docker(address) for address in rules.docker_servers),
        open_rules=_open(rules),
        ssh_ports6=_ssh_ports6(rules),
        exporter=rules.exporter,
        reader=rules.reader,
        exporter_mark=f"{mark(rules.exporter):#x}",
        outside_only="\n".join(f"    tcp dport {port} meta skuid != 0 goto refuse" for port in _outside_only(rules)),
        replies="\n".join(_replies(rules)),
        metrics_within=_metrics_within(rules),
        inbound_rules=_inbound(rules),
    )
    return text + "".join(elements.add(name, [element]) for name, element in kept)


def closed(
    ssh: int = 0,
    metrics: Listener | None = None,
    notify: tuple[Upstream, ...] | None = None,
    docker_servers: tuple[str, ...] = (),
) -> str:
    """Returns the first ruleset of a boot: loopback works, SSH and the metrics are reachable, everything else is closed.

    With `notify`, root's senders of notifications may resolve names and connect to their service, because a halted sandbox has
    to be reported, too.
    """
    return render(Rules(ssh=ssh, metrics=metrics, notify=notify, docker_servers=docker_servers if notify is not None else ()))


def refuses_locally(address: str, port: int, own: Iterable[int] = ()) -> bool:
    """True if the agent may not connect to an address of the sandbox itself (chains loopback_socket and out6).

    `own`: the ports of sshd and of the metrics. Port 0 stands for an ordinary port.
    """
    if ":" in address:
        return port in {PLATFORM_SSH, *own}
    if address == COREDNS_ADDRESS:
        return port != 53
    return port in own or address in (GUARD_ADDRESS, GATE_ADDRESS, DOCKER_ADDRESS)


def _divert(rules: Rules) -> str:
    """A chain that redirects the agent's new flows to open addresses to the gate. Does not touch Docker's NAT chains."""
    lines = [
        f"    meta skuid {rules.agent} ip daddr != @never4 ip daddr . tcp dport @{name} dnat ip to {GATE_ADDRESS}:{port}"
        for name, port in ((OPEN, GATE_TLS_PORT), (HTTP, GATE_HTTP_PORT))
    ]
    return "  chain divert { type nat hook output priority -100; policy accept;\n" + "\n".join(lines) + "\n  }"


def _upstream(uid: int, upstream: Upstream) -> str:
    protocols = "tcp" if upstream.tls else "{ tcp, udp }"
    return (
        f"    ip daddr {ipaddress.IPv4Address(upstream.address)} meta skuid {uid} meta l4proto {protocols} "
        f"th dport {int(upstream.port)} ct state new counter name asked_upstream ct mark set {mark(uid):#x} accept"
    )


def _notify(rules: Rules) -> str:
    """A rule before the special-purpose ranges are refused: the operator's notification service may be in a private network."""
    if rules.notify is None:
        return ""
    to = f"ip daddr . tcp dport @{NOTIFY}"
    return f"    meta skuid {rules.notifier} ct state new {to} ct mark set {mark(rules.notifier):#x} accept"


def _docker(address: str) -> str:
    """A rule that lets dockerd forward the guard's queries to 127.0.0.11. dockerd opens its sockets as root."""
    return (
        f"    ip daddr {ipaddress.IPv4Address(address)} meta skuid 0 meta l4proto {{ tcp, udp }} th dport 53 ct state new "
        f"counter name asked_upstream ct mark set {DOCKER_MARK:#x} accept"
    )


def _open(rules: Rules) -> str:
    """Rules for new flows to open addresses: the gate for those it checks, the agent for the rest (or all, without a gate)."""
    if not rules.with_gate:
        owners = [(rules.agent, OPEN), (rules.agent, DIRECT)]
    else:
        owners = [(rules.gate, OPEN), (rules.gate, HTTP), (rules.agent, DIRECT)]
    counted = "counter name carried_direct "
    return "\n".join(_new_flows(rules, uid, f"ip daddr . tcp dport @{name}", counted) for uid, name in owners)


def _new_flows(rules: Rules, uid: int, to: str, counted: str) -> str:
    """A rule that lets a uid open flows, with a rate limit for the agent."""
    which = f"    meta skuid {uid} ct state new {to} "
    paced = f"{which}jump pace\n" if uid == rules.agent else ""
    return f"{paced}{which}{counted}ct mark set {mark(uid):#x} accept"


def _ssh_ports6(rules: Rules) -> str:
    return f"{{ {', '.join(str(int(port)) for port in sorted({PLATFORM_SSH, rules.ssh or PLATFORM_SSH}))} }}"


def _replies(rules: Rules) -> list[str]:
    """Rules for replies on inbound connections. On sshd's port, only root's sockets may reply, so no squatter can answer."""
    owned = [(rules.ssh, "meta skuid 0 ", SSH_MARK)] if rules.ssh else []
    if rules.metrics:
        owned.append((rules.metrics.port, f"meta skuid {rules.exporter} ", mark(rules.exporter)))
    ports = [*owned, *((port, "", INBOUND_MARK) for port in rules.inbound)]
    return [f"    ct direction reply tcp sport {int(port)} {who}ct mark set {number:#x} accept" for port, who, number in ports]


def _outside_only(rules: Rules) -> list[int]:
    """The ports of our services that only root may reach from inside."""
    return [*([rules.ssh] if rules.ssh else []), *([rules.metrics.port] if rules.metrics else [])]


def _metrics_within(rules: Rules) -> str:
    """A rule for replies of the metrics to root inside the sandbox. It never matches the first packet of a connection."""
    if rules.metrics is None:
        return ""
    port = int(rules.metrics.port)
    return f"    tcp sport {port} meta skuid {rules.exporter} tcp flags & (syn|ack) != syn accept\n"


def _inbound(rules: Rules) -> str:
    ports = [*([rules.ssh] if rules.ssh else []), *rules.inbound]
    tcp = f"    tcp dport {{ {', '.join(str(int(port)) for port in ports)} }} accept\n" if ports else ""
    if rules.metrics:
        to = f"ip daddr {ipaddress.IPv4Address(rules.metrics.address)}" if rules.metrics.address != ANY else "meta nfproto ipv4"
        tcp += f"    {to} tcp dport {int(rules.metrics.port)} accept\n"
    return f"{tcp}    meta nfproto ipv6 tcp dport {_ssh_ports6(rules)} accept"
