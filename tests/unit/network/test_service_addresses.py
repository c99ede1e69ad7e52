"""Addresses of notification services: what the library gets, where a sender may connect, and errors without secrets."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.destinations import KINDS, Destination, Library, Tls, is_permitted
from network.problems import Problems
from network.service_addresses import parse

TOKEN = "s3cret-token-4711"
SLACK = "s3cret" * 4  # 24 letters and digits

GOOD = [
    ("ntfys://night-topic", "ntfy.sh", 443, Tls.IMPLICIT, ()),
    ("ntfy://night-topic", "ntfy.sh", 443, Tls.IMPLICIT, ()),  # its public server has TLS only
    (f"ntfys://{TOKEN}@ntfy.example.com:8443/alerts", "ntfy.example.com", 8443, Tls.IMPLICIT, (TOKEN,)),
    ("ntfy://192.168.1.5/alerts", "192.168.1.5", 80, Tls.NONE, ()),
    (f"slack://T1AAAAAAA/B1BBBBBBB/{SLACK}", "hooks.slack.com", 443, Tls.IMPLICIT, (SLACK, "T1AAAAAAA", "B1BBBBBBB")),
    (f"https://hooks.slack.com/services/T1AAAAAAA/B1BBBBBBB/{SLACK}", "hooks.slack.com", 443, Tls.IMPLICIT, (SLACK,)),
    (f"slack://xoxb-1234-{TOKEN}/alerts", "slack.com", 443, Tls.IMPLICIT, (f"xoxb-1234-{TOKEN}",)),
    (f"discord://4174296323/{TOKEN}", "discord.com", 443, Tls.IMPLICIT, (TOKEN,)),
    (f"https://discord.com/api/webhooks/4174296323/{TOKEN}", "discord.com", 443, Tls.IMPLICIT, (TOKEN,)),
    (f"matrixs://{TOKEN}@matrix.example.org/!room:example.org", "matrix.example.org", 443, Tls.IMPLICIT, (TOKEN,)),
    (f"matrix://me:{TOKEN}@10.1.2.3:8008/%23room", "10.1.2.3", 8008, Tls.NONE, (TOKEN,)),
    (f"mailtos://me:{TOKEN}@mx.example.com?from=me@b.example&to=c@d.example,e@f.example", "mx.example.com", 587, Tls.STARTTLS,
     (TOKEN,)),
    (f"mailtos://me:{TOKEN}@example.com?smtp=mx.example.com&mode=ssl", "mx.example.com", 465, Tls.IMPLICIT, (TOKEN,)),
    (f"mailtos://me:{TOKEN}@example.com:465", "example.com", 465, Tls.IMPLICIT, (TOKEN,)),
    ("mailto://relay.example.com?from=a@b.example&to=c@d.example", "relay.example.com", 25, Tls.NONE, ()),
    (f"jsons://hook.example.com/in/{TOKEN}?+Authorization=Bearer%20{TOKEN}x", "hook.example.com", 443, Tls.IMPLICIT,
     (TOKEN, f"{TOKEN}x", f"Bearer {TOKEN}x")),
    (f"json://100.64.0.9:8080/in?-key={TOKEN}", "100.64.0.9", 8080, Tls.NONE, (TOKEN,)),
    (f"xmls://me:{TOKEN}@hook.example.com/in", "hook.example.com", 443, Tls.IMPLICIT, (TOKEN,)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "host", "port", "tls", "secrets"), GOOD, ids=lambda value: str(value)[:40])
def test_an_address_has_one_destination(text: str, host: str, port: int, tls: Tls, secrets: tuple[str, ...]) -> None:
    (to,) = parse(text)
    assert (to.host, to.port, to.tls) == (host, port, tls)
    assert {text if text in to.secrets else to.secrets[0], *secrets} <= set(to.secrets)
    assert repr(to) == f"Destination({to.kind}://...)"


@pytest.mark.parametrize("text", [text for text, *_ in GOOD])
def test_the_library_may_follow_no_redirect_and_verifies_certificates(text: str) -> None:
    (to,) = parse(text)
    query = parse_qs(urlsplit(to.url).query)
    assert query["verify"] == ["yes"]
    assert query.get("redirect") == ["no"] or to.library is Library.MAIL
    assert urlsplit(to.url).scheme in KINDS


SECRET = "hunter2-secret"
BAD = [
    ("exec://rm", "unknown kind"),
    ("syslog://localhost", "unknown kind"),
    ("file:///etc/passwd", "unknown kind"),
    ("https://example.com/hook", "unknown kind"),
    (f"{SECRET}", "not an address"),
    (f"ntfys://{SECRET}@[2001:db8::1]/x", "IPv6"),
    (f"ntfys://{SECRET}@127.0.0.1/topic", "an address of this sandbox"),
    (f"json://169.254.169.254/{SECRET}", "an address of this sandbox"),
    (f"json://0.0.0.0/{SECRET}", "an address of this sandbox"),
    (f"jsons://localhost/{SECRET}", "no host"),
    (f"jsons://hook.example.com:0/{SECRET}", "a port from 1 to 65535"),
    (f"jsons://hook.example.com:99999/{SECRET}", "cannot be read"),
    (f"jsons://hook.example.com/?verify=no&-x={SECRET}", "an option that is not supported"),
    (f"jsons://hook.example.com/?redirect=yes&-x={SECRET}", "an option that is not supported"),
    (f"jsons://hook.example.com/?{SECRET}", "cannot be read"),
    (f"jsons://hook.example.com/#{SECRET}", "expected no #"),
    (f"ntfys://{SECRET}@ntfy.example.com/a/b", "expected one topic"),
    (f"ntfys://{SECRET}@ntfy.example.com/topic?attach=/etc/shadow", "an option that is not supported"),
    (f"slack://{SECRET}", "expected slack://A/B/C"),
    (f"discord://name/{SECRET}", "expected discord://ID/TOKEN"),
    (f"matrixs://{SECRET}@matrix.example.org", "expected matrixs://"),
    (f"mailto://me:{SECRET}@smtp.example.com?to=a@b.example", "without encryption"),
    (f"mailtos://me:{SECRET}@smtp.example.com?mode=insecure", "an unknown mode"),
    (f"mailtos://me:{SECRET}@smtp.example.com?to=nobody", "plain email addresses"),
    (f"mailtos://me:{SECRET}@smtp.example.com?pgp_privkey=/etc/shadow", "an option that is not supported"),
    (f"ntfys://{SECRET}@ntfy.example.com/to%0apic", "cannot be printed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD, ids=[text for text, _ in BAD])
def test_an_error_gives_the_reason_and_no_secret(text: str, words: str) -> None:
    with pytest.raises(Problems) as caught:
        parse(f"ntfys://a-good-topic {text}")
    (problem,) = caught.value.problems
    assert problem.startswith("CODETAINER_NOTIFY: address 2")
    assert words in problem
    assert SECRET not in problem


def test_all_errors_are_reported_and_the_number_of_addresses_is_limited() -> None:
    with pytest.raises(Problems) as caught:
        parse("exec://a syslog://b")
    assert len(caught.value.problems) == 2
    with pytest.raises(Problems, match="expected at most 8"):
        parse(" ".join(f"ntfys://topic-{number}" for number in range(9)))
    assert len(parse("ntfys://one-topic\n ntfys://one-topic\tntfys://another")) == 2


@given(st.one_of(st.text(), st.from_regex(r"(ntfys?|jsons?|slack|discord|matrixs|mailtos?)://[!-~]{0,60}", fullmatch=True)))
def test_any_text_is_refused_or_has_a_destination_that_may_be_opened(text: str) -> None:
    try:
        destinations = parse(text)
    except Problems:
        return
    for to in destinations:
        assert isinstance(to, Destination)
        assert 0 < to.port < 65536
        assert not to.address or is_permitted(to.address)
        assert urlsplit(to.url).scheme in KINDS


@pytest.mark.parametrize(
    ("address", "permitted"),
    [("192.0.2.1", True), ("203.0.113.9", True), ("10.0.0.1", True), ("172.16.0.1", True), ("192.168.7.7", True),
     ("100.64.0.1", True), ("127.0.0.1", False), ("127.0.0.53", False), ("169.254.169.254", False), ("0.0.0.0", False),
     ("224.0.0.1", False),
     ("255.255.255.255", False), ("192.0.0.170", False), ("198.18.0.1", False)],
)  # fmt: skip
def test_loopback_and_link_local_addresses_are_never_opened(address: str, permitted: bool) -> None:
    assert is_permitted(address) is permitted
