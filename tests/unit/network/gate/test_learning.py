"""The gate's part for a learning run: its rules and its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from network import grant
from network.allowlist import Allowlist, Check, Entry, Port
from network.gate import grants, haproxy, learning
from network.gate.haproxy import Places
from network.gate.learning import Denied, LearningProxy, Untrusted, parse_line
from network.learning.record import PORTS, UNTRUSTED_PORTS, Request

TEMPLATE = haproxy.TEMPLATE.read_text()
PLACES = Places(Path("/run/gate"))
PROXY = LearningProxy(
    PLACES.certificate_list, PLACES.authorities, PLACES.map("exact"), PLACES.map("exact_http"), "/tls", "/http", 7, 8, 9
)  # fmt: skip


def rendered(learns: LearningProxy | None) -> str:
    return haproxy.render(TEMPLATE, PLACES, (5, 6), 955, learns=learns)


def test_only_a_learning_run_has_this_part() -> None:
    assert "frontend learning" not in rendered(None)
    assert "to_learning" not in rendered(None)
    assert "frontend learning" in rendered(PROXY)


def test_recorded_names_go_there_and_others_do_not() -> None:
    text = rendered(PROXY)
    for backend in ("to_learning", "to_learning_http"):
        assert f"use_backend {backend} if {{ var(txn.grant) -m str recorded }}" in text
    assert "ssl verify required ca-file /run/gate/authorities.pem sni var(txn.name)" in text.partition("backend recorded\n")[2]


def test_a_name_in_a_client_hello_cannot_imitate_an_error() -> None:
    """`a.example alert unknown ca` would have TLS to a.example pass unopened from then on."""
    assert """error-log-format "handshake %[dst_port] %[ssl_fc_sni,lower,word(1,' ')] %[ssl_fc_err_str]\"""" in rendered(PROXY)


def test_a_request_to_another_name_is_refused_before_it_is_resolved() -> None:
    rules = learning.render(PROXY).splitlines()
    refused = next(i for i, rule in enumerate(rules) if "deny" in rule and "!{ var(txn.grant) -m str recorded }" in rule)
    assert refused < next(i for i, rule in enumerate(rules) if "do-resolve" in rule)


def test_maps_and_certificates_of_recorded_names() -> None:
    new, pinned = Entry("new.example", ports=PORTS), Entry("pinned.example", ports=UNTRUSTED_PORTS)
    allowlist = Allowlist((new, pinned))
    maps = grants.maps(allowlist)
    assert maps["exact"] == ("new.example:443 recorded", "pinned.example:443 open")
    assert maps["exact_http"] == ("new.example:80 recorded", "pinned.example:80 recorded")
    assert grants.patterns(allowlist) == grants.opened(allowlist) == ()
    assert grants.recorded(allowlist) == ("new.example",)


@pytest.mark.parametrize("other", [grant.ANYTHING, (grant.READ,), ("POST:/a",), grant.BY_CREDENTIAL])
def test_a_recorded_grant_widens_no_other(other: tuple[str, ...]) -> None:
    """A request that is recorded may be any; the rules for a credential still decide where one is set."""
    expected = other if other in (grant.ANYTHING, grant.BY_CREDENTIAL) else grant.RECORDED
    assert grant.union(other, grant.RECORDED) == grant.union(grant.RECORDED, other) == expected
    assert str(Entry("a.example", ports=(Port(443, Check.TLS, grant=grant.RECORDED),))) == "a.example:443 open"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("request carried 443 12 GET - new.example /a/b", Request("new.example", 443, "GET", "/a/b", "", True)),
        ("request carried 80 -1 POST body new.example /a", Request("new.example", 80, "POST", "/a", "body", False)),
        (
            "request carried 443 0 GET upgrade new.example /#0Aevil",
            Request("new.example", 443, "GET", "/#0Aevil", "upgrade", True),
        ),
        ("request misdirected 443 -1 GET - new.example /", Denied("misdirected", "new.example", 443)),
        ("request carried 443 1 GET - - /", None),
        ("request carried 443 1 GET - new.example", None),
        ("request carried x 1 GET - new.example /", None),
        ("request carried 443 1 GET - bad,name /", None),
        ("handshake 443 pinned.example error:0A000418:SSL routines::tlsv1 alert unknown ca", Untrusted("pinned.example")),
        (
            "handshake 443 a.example error:14094412:SSL routines:ssl3_read_bytes:sslv3 alert bad certificate",
            Untrusted("a.example"),
        ),
        ("handshake 443 a.example error:14094416:SSL routines:x:sslv3 alert certificate unknown", Untrusted("a.example")),
        ("handshake 443 Pinned.Example. error:0A000418:SSL routines::tlsv1 alert unknown ca", Untrusted("pinned.example")),
        ("handshake 443 a.example -", None),
        ("handshake 443 unknown.ca error:0A0000EA:SSL routines::callback failed", None),
        ("handshake 443 a.example error:0A000126:SSL routines::unexpected eof while reading", None),
        ("handshake 443 - alert unknown ca", None),
        ("handshake", None),
        ("[ALERT] something", None),
        ("", None),
    ],
)
def test_lines_of_the_log(line: str, expected: object) -> None:
    assert parse_line(line) == expected
