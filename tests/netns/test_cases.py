"""The protections, tested as the agent in a real sandbox: unlisted traffic does not leave, listed traffic is not refused."""

from __future__ import annotations

import pytest

from backend.contract.events import Reason, Refused, Via
from tests.netns import worlds
from tests.netns.sandbox import Running, eventually

pytestmark = worlds.EVERY

CONNECT = """
import json, socket, sys, time
name, port = sys.argv[1], int(sys.argv[2])
begun = time.monotonic()
try:
    socket.create_connection((name, port), timeout=30).close()
    result = "open"
except socket.gaierror as error:
    result = "no such name"
except TimeoutError:
    result = "unanswered"
except OSError as error:
    result = "refused"
print(json.dumps(result))
"""
QUERY = """
import json, socket, struct, sys
server, port, name, kind, over = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
wire = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0"
wire += struct.pack("!2H", kind, 1)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if over == "udp" else socket.SOCK_STREAM)
sock.settimeout(10)
try:
    sock.connect((server, port))
    sock.send(wire if over == "udp" else struct.pack("!H", len(wire)) + wire)
    data = sock.recv(4096)[0 if over == "udp" else 2:]
    print(json.dumps({"rcode": data[3] & 15, "answers": data[7], "address": ".".join(map(str, data[-4:]))}))
except TimeoutError:
    print(json.dumps({"unanswered": True}))
except OSError:
    print(json.dumps({"refused": True}))
"""
A, MX, TXT, AAAA, SRV, PTR, ANY, HTTPS = 1, 15, 16, 28, 33, 12, 255, 65
RESOLVER = "127.0.0.53"


def connect(sandbox: Running, name: str, port: int = 443) -> str:
    return str(sandbox.python(CONNECT, name, port))


def query(sandbox: Running, server: str, name: str, kind: int = A, over: str = "udp", port: int = 53) -> dict[str, object]:
    answer: dict[str, object] = sandbox.python(QUERY, server, port, name, kind, over)
    return answer


CHAOS = """
import json, socket, struct, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.connect(("127.0.0.53", 53))
    codes = []
    for name, group in ((b"\\6github\\3com\\0", 3), (b"\\3a b\\4wild\\4test\\0", 1)):
        sock.send(struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, group))
        codes.append(sock.recv(4096)[3] & 15)
print(json.dumps(codes))
"""


def test_another_class_and_a_name_that_no_host_has_are_refused(sandbox: Running) -> None:
    """REFUSED at once. SERVFAIL would be the answer after CoreDNS has waited four seconds for the guard."""
    assert sandbox.python(CHAOS) == [5, 5]


def refused(sandbox: Running, **values: object) -> list[Refused]:
    return [r for r in sandbox.events(Refused) if all(getattr(r, key) == value for key, value in values.items())]


def test_boot_finishes_and_reports_names_that_do_not_resolve(sandbox: Running) -> None:
    """Two listed names have no public address. That is a warning, and the session starts."""
    assert sandbox.state.boot == "degraded"
    assert sandbox.state.session_created
    assert sandbox.state.list is not None
    assert set(sandbox.state.list.failing) == {"private.test", "metadata.test"}


def test_the_self_tests_refusals_are_not_attributed_to_the_agent(sandbox: Running) -> None:
    assert refused(sandbox, address="192.0.2.1") == []
    assert [r for r in sandbox.events(Refused) if r.name.endswith("probe.example")] == []


@pytest.mark.parametrize(
    "name", ["github.com", "api.anthropic.com", "wild.test", "deep.under.wild.test", "alias.test", "GitHub.COM."]
)
def test_a_listed_name_answers(sandbox: Running, name: str) -> None:
    assert connect(sandbox, name) == "open"


def test_an_unlisted_name_does_not_exist_and_is_reported(sandbox: Running) -> None:
    assert connect(sandbox, "unlisted.test") == "no such name"
    eventually("it is reported", lambda: refused(sandbox, via=Via.DNS, name="unlisted.test", reason=Reason.NOT_LISTED))
    assert sandbox.asked(kind="dns", name="unlisted.test") == 0


@pytest.mark.parametrize("name", ["sub.github.com", "github.com.unlisted.test", "wwild.test", "xgithub.com"])
def test_names_are_exact_and_label_bounded(sandbox: Running, name: str) -> None:
    assert query(sandbox, RESOLVER, name)["rcode"] == 3
    assert sandbox.asked(kind="dns", name=name) == 0


def test_a_bare_address_is_refused_at_once(sandbox: Running) -> None:
    assert connect(sandbox, "192.0.2.77") == "refused"
    eventually("a report", lambda: refused(sandbox, address="192.0.2.77", port=443, reason=Reason.NEVER_RESOLVED, uid=1000))


@pytest.mark.parametrize(("over", "port"), [("udp", 53), ("tcp", 53), ("udp", 853), ("tcp", 853)])
def test_only_the_guard_reaches_the_upstream(sandbox: Running, over: str, port: int) -> None:
    before = sandbox.asked(kind="dns", name="straight.test")
    assert query(sandbox, "203.0.113.53", "straight.test", over=over, port=port) == {"refused": True}
    assert sandbox.asked(kind="dns", name="straight.test") == before


@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_the_agent_cannot_query_the_guard(sandbox: Running, over: str) -> None:
    assert query(sandbox, "127.0.0.54", "github.com", over=over) == {"refused": True}


@pytest.mark.parametrize("kind", [TXT, MX, SRV, HTTPS, ANY, PTR, AAAA])
def test_other_types_are_empty_and_never_leave(sandbox: Running, kind: int) -> None:
    answer = query(sandbox, RESOLVER, "github.com", kind)
    assert (answer["rcode"], answer["answers"]) == (0, 0)
    assert query(sandbox, RESOLVER, f"secret-{kind}.unlisted.test", kind)["answers"] == 0
    assert sandbox.asked(kind="dns", name=f"secret-{kind}.unlisted.test") == 0
    kinds = {"TXT", "MX", "SRV", "HTTPS", "ANY", "PTR", "AAAA"}
    assert sum(sandbox.asked(kind="dns", name="github.com", type=name) for name in kinds) == 0


def test_special_addresses_are_stripped_and_stay_closed(sandbox: Running) -> None:
    answer = query(sandbox, RESOLVER, "lying.test")
    assert (answer["answers"], answer["address"]) == (1, "198.51.100.34")
    for name in ("private.test", "metadata.test"):
        assert query(sandbox, RESOLVER, name)["answers"] == 0
    assert connect(sandbox, "169.254.169.254", 80) == "refused"
    assert connect(sandbox, "10.0.0.7") == "refused"
    eventually("it is reported", lambda: refused(sandbox, via=Via.DNS, name="metadata.test", reason=Reason.PRIVATE))
    eventually("it is reported", lambda: refused(sandbox, via=Via.FIREWALL, address="169.254.169.254", reason=Reason.PRIVATE))


ROTATE = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def one(_):
    try:
        socket.create_connection(("rotating.test", 443), timeout=30).close()
        return 0
    except OSError:
        return 1
with ThreadPoolExecutor(50) as pool:
    print(json.dumps(sum(pool.map(one, range(int(sys.argv[1]))))))
"""


def test_an_address_that_changes_with_every_answer_is_never_refused(sandbox: Running) -> None:
    assert sandbox.python(ROTATE, 1000) == 0


LATE = """
import json, socket, sys, time
address = socket.gethostbyname("short.test")
time.sleep(3)
try:
    socket.create_connection((address, 443), timeout=30).close()
    print(json.dumps("open"))
except OSError:
    print(json.dumps("refused"))
"""


def test_an_address_stays_open_past_its_ttl(sandbox: Running) -> None:
    """Its TTL is one second. Clients cache addresses for longer and reconnect without another query."""
    assert sandbox.python(LATE) == "open"


def test_ports_that_are_not_listed_are_refused(sandbox: Running) -> None:
    assert connect(sandbox, "short.test", 8443) == "open"
    assert connect(sandbox, "github.com", 8443) == "refused"
    eventually("it is reported", lambda: refused(sandbox, name="github.com", port=8443, reason=Reason.PORT_NOT_LISTED))
    assert connect(sandbox, "plain.test", 443) == "refused"


SEND = """
import errno, json, socket, sys
family, kind, protocol, address, port = (int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
try:
    sock = socket.socket(family, kind, protocol)
    sock.settimeout(10)
    sock.connect((address, port))
    sock.send(b"x" * 16)
    sock.recv(100)
    print(json.dumps("answered"))
except TimeoutError:
    print(json.dumps("unanswered"))
except OSError as error:
    print(json.dumps(errno.errorcode.get(error.errno, str(error))))
"""


@pytest.mark.parametrize(
    ("what", "family", "kind", "protocol", "address", "port"),
    [
        ("quic", 2, 2, 17, "198.51.100.10", 443),
        ("raw", 2, 3, 1, "198.51.100.10", 0),
        ("sctp", 2, 1, 132, "198.51.100.10", 443),
        ("ipv6 tcp", 10, 1, 6, "2001:db8::1", 443),
        ("ipv6 udp", 10, 2, 17, "2001:db8::1", 443),
        ("ipv6 raw", 10, 3, 58, "2001:db8::1", 0),
        ("packet", 17, 3, 0, "", 0),
    ],
)
def test_only_tcp_over_ipv4_is_allowed(
    sandbox: Running, what: str, family: int, kind: int, protocol: int, address: str, port: int
) -> None:
    assert sandbox.python(SEND, family, kind, protocol, address, port) not in ("answered", "unanswered"), what


def test_refused_udp_is_reported(sandbox: Running) -> None:
    sandbox.python(SEND, 2, 2, 17, "198.51.100.10", 443)
    eventually("it is reported", lambda: refused(sandbox, address="198.51.100.10", protocol="udp", reason=Reason.NOT_TCP))


@pytest.mark.parametrize(
    "argv",
    [
        ("nft", "flush", "ruleset"),
        ("nft", "add", "element", "inet", "codetainer", "open4", "{ 192.0.2.9 . 443 }"),
        ("conntrack", "-F"),
        ("mount", "-t", "tmpfs", "none", "/mnt"),
        ("mount", "-o", "remount,rw", "/"),
        ("ip", "link", "add", "x0", "type", "veth"),
        ("touch", "/usr/local/bin/x"),
        ("touch", "/run/codetainer/x"),
        ("kill", "1"),
        ("cat", "/run/codetainer/upstreams"),
        ("flock", "-n", "/run/codetainer/init.lock", "true"),
        ("chroot", "/", "true"),
        ("setpriv", "--reuid=0", "true"),
    ],
)
def test_the_agent_may_not(sandbox: Running, argv: tuple[str, ...]) -> None:
    assert sandbox.agent(*argv).returncode != 0


def test_a_user_namespace_is_no_way_out(sandbox: Running) -> None:
    """Root in a user namespace has no rights outside it: its network is empty, and it cannot change the sandbox's rules."""
    done = sandbox.agent("unshare", "-Urn", "sh", "-c", "nft flush ruleset; ip -o link show up | wc -l")
    assert done.returncode != 0 or done.stdout.strip() == "0"
    assert connect(sandbox, "192.0.2.78") == "refused"


def test_no_setuid_program_gains_anything(sandbox: Running) -> None:
    done = sandbox.agent(
        "sh", "-c", "su -c id 2>&1 </dev/null; mount 2>/dev/null | head -1 >/dev/null; id -u; grep NoNewPrivs /proc/self/status"
    )
    assert "uid=0" not in done.stdout
    assert done.stdout.split()[-1] == "1"


def test_other_processes_are_hidden(sandbox: Running) -> None:
    uids = sandbox.agent("sh", "-c", "stat -c %u /proc/[0-9]* | sort -u").stdout.split()
    assert uids == ["1000"]


def test_git_works_with_all_protections(sandbox: Running) -> None:
    script = "cd /workspace/repo && git fetch && date > new && git add new && git commit -qm new"
    done = sandbox.agent("sh", "-c", script + " && git push -q origin HEAD:refs/heads/new")
    assert done.returncode == 0, done.stderr
    assert sandbox.asked(kind="http", host="github.com", path="/example/demo/git-receive-pack") > 0


def test_the_agent_cannot_use_the_control_socket(sandbox: Running) -> None:
    done = sandbox.agent("codetainer", "allow", "unlisted.test")
    assert done.returncode != 0
    assert connect(sandbox, "unlisted.test") == "no such name"


def test_the_self_test_covers_folders_of_the_platform(sandbox: Running) -> None:
    code = """
import json, runpy
tried = runpy.run_path("/opt/codetainer/lib/backend/selftest/probe.py")["platforms_folder"]
print(json.dumps([tried("/root"), tried("/.fly"), tried("/etc")]))
"""
    assert sandbox.python(code) == ["", "", "the agent can list /etc"]


def test_without_claude_code_the_pane_reports_that_it_is_missing(sandbox: Running) -> None:
    """In the image and in `up`: no other program takes its place."""
    done = sandbox.agent("env", "PATH=/nonexistent", "/usr/local/bin/start-claude")
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr.startswith("codetainer: cannot start Claude Code: no claude on PATH\n")
