"""`explain` and `allowed` say what would happen now, and which entry opens each port."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract.control import Allow, ListAllowed
from backend.contract.events import BootStarted
from backend.guard import channel
from backend.supervision import destination
from tests.unit.backend.supervision.lab import Lab
from tests.unit.backend.supervision.parts import Case


@pytest.fixture
def lab(case: Case, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(case, monkeypatch)


EXPLAINED = [
    ("a.example", True, "a.example is open on 443, 80 (domains.conf:1); current addresses: 198.51.100.1"),
    ("A.example.:443", True, "a.example:443 is open: domains.conf:1; current addresses: 198.51.100.1"),
    (
        "a.example:22", False,
        "a.example:22 is refused: port not listed. The operator can run codetainer allow a.example --port 22 to open it. The",
    ),
    ("ports.example:8443", True, "ports.example:8443 is open: domains.conf:2; "),
    ("x.wild.example", True, "x.wild.example is open on 443 (*.wild.example, domains.conf:3); "),
    ("x.deep.example", True, "x.deep.example is open on 443, 80 (*.deep.example, domains.conf:4, only read); "),
    ("https://x.deep.example", True, "x.deep.example:443 is open: *.deep.example, domains.conf:4; requests pass only read; "),
    ("a.b.deep.example", False, "a.b.deep.example is refused: request not granted: more than one label below a wildcard. "),
    ("b.example", False, "b.example is refused: not on the allowlist. The operator can run codetainer allow b.example to"),
    ("b.example:8443", False, "b.example:8443 is refused: not on the allowlist. The operator can run codetainer allow b"),
    ("198.51.100.1:443", True, "198.51.100.1:443 is open for another 4 h, for a.example"),
    ("198.51.100.1", True, "198.51.100.1 is open on 80, 443 for another 4 h, for a.example; other ports are refused: port not"),
    ("198.51.100.1:22", False, "198.51.100.1:22 is refused: port not listed. The operator can run codetainer allow a.exam"),
    ("198.51.100.9", False, "198.51.100.9 is refused on every port: no DNS lookup. Connect by name:"),
    ("10.0.0.1", False, "10.0.0.1 is refused on every port: private or metadata address. Private,"),
    ("2001:db8::1", False, "2001:db8::1 is refused on every port: IPv6 is not allowed. Use IPv4"),
    ("[2001:db8::1]:443", False, "[2001:db8::1]:443 is refused: IPv6 is not allowed. Use IPv4"),
    ("zzz", False, "zzz is refused: not on the allowlist. No entry of the allowlist can open it. A single label is not"),
    ("fd00::1", False, "fd00::1 is refused on every port: private or metadata address."),
    ("224.0.0.1:443", False, "224.0.0.1:443 is refused: private or metadata address."),
    ("255.255.255.255:443", False, "255.255.255.255:443 is refused: private or metadata address."),
    ("::ffff:198.51.100.1", True, "198.51.100.1 is open on 80, 443 for another 4 h, for a.example"),
    ("localhost:8080", True, "localhost:8080 is open: it is the sandbox itself"),
    ("app.localhost", True, "app.localhost is open: it is the sandbox itself"),
    ("127.0.0.1:8080", True, "127.0.0.1:8080 is open: it is the sandbox itself"),
    ("127.0.0.53:53", True, "127.0.0.53:53 is open: it is the sandbox itself"),
    ("127.0.0.53:80", False, "127.0.0.53:80 is refused: the sandbox's own port. The sandbox's own services are closed"),
    ("127.0.0.55:443", False, "127.0.0.55:443 is refused: the sandbox's own port."),
    ("[::1]:22", False, "[::1]:22 is refused: the sandbox's own port."),
    ("[::1]:8080", True, "[::1]:8080 is open: it is the sandbox itself"),
    ("http://a.example", True, "a.example:80 is open: domains.conf:1; "),
    ("https://user:secret@a.example/path?x=http://b.example", True, "a.example:443 is open: "),
    ("https://ports.example:8443/x", True, "ports.example:8443 is open: "),
    ("http://[2001:db8::1]/", False, "[2001:db8::1]:80 is refused: IPv6 is not allowed."),
    ("http://198.51.100.1", True, "198.51.100.1:80 is open for another "),
]  # fmt: skip


@pytest.mark.parametrize(("target", "is_open", "words"), EXPLAINED)
async def test_names_addresses_and_urls_are_explained(lab: Lab, target: str, is_open: bool, words: str) -> None:
    await lab.explain("a.example")  # resolves it
    reply = await lab.explain(target)
    assert (reply.ok, reply.data["open"], reply.text[: len(words)]) == (True, is_open, words)


CLEAR = "Send it in the usual form: it must have only one meaning."
CHECKED = [  # with the gate, which checks the name in TLS at 443 and in HTTP at 80
    ("http://a.example:443/", "no TLS", f"cannot be checked: no TLS. {CLEAR} The gate checks the name in TLS at this port."),
    ("ssh://a.example:443", "no TLS", "cannot be checked: no TLS. "),
    ("https://a.example:80/", "not HTTP", "cannot be checked: no valid HTTP request. "),
    ("https://198.51.100.1/", "no name", f"cannot be checked: no name. {CLEAR} Connect to a.example by name."),
    ("http://198.51.100.1/", "another name", "different host on an allowed address. This host is not on the allowlist"),
]


@pytest.mark.parametrize(("target", "words"), [(target, words) for target, _, words in CHECKED])
async def test_a_url_that_the_gate_refuses_is_refused(lab: Lab, target: str, words: str) -> None:
    lab.emit(BootStarted("1", (), gate=True))
    lab.guard.openings.gate = True
    await lab.explain("a.example")
    place = target.partition("://")[2].rstrip("/")
    place += "" if ":" in place else ":443" if target.startswith("https") else ":80"
    assert (await lab.explain(target)).text.startswith(f"{place} is refused: {words}")
    await lab.list("a.example:9418")
    await lab.ask(Allow("a.example", "9418"))
    assert (await lab.explain("git://a.example/")).data["open"]
    assert (await lab.explain("198.51.100.1:443")).data["open"]


async def test_a_port_that_another_name_opens_by_address_is_open(lab: Lab) -> None:
    """With the gate, no other check is possible at such a port."""
    lab.emit(BootStarted("1", (), gate=True))
    lab.guard.openings.gate = True
    await lab.list("twin.example:9000")
    assert (await lab.explain("twin.example:9000")).data["open"]
    await lab.explain("a.example")
    reply = await lab.explain("a.example:9000")
    assert reply.text.startswith("a.example:9000 is open by its address 198.51.100.1, for twin.example. ")
    assert not (await lab.explain("a.example:9001")).data["open"]


INVALID = [
    ("a.example/path", "a label can contain only letters, digits, - and _"),
    ("a.example:", "a port must be a number from 1 to 65535"),
    ("a.example:https", "a port must be a number from 1 to 65535"),
    ("a.example:0", "a port must be a number from 1 to 65535"),
    ("a.example:65536", "a port must be a number from 1 to 65535"),
    ("[2001:db8::1]:x", "a port must be a number"),
    ("2001:db8::1:zz", "a label can contain only letters"),
    ("[a.example]:443", "only an IPv6 address may be in brackets"),
    ("1.2.3", "expected a host name, not an address"),
    ("*.a.example", "a label can contain only letters"),
    ("", "the name is missing"),
    ("two words", "a label can contain only letters"),
    ("gopher://a.example", "the port of 'gopher' is not known"),
    ("https://", "the name is missing"),
    ("POST", "without a URL"),
    ("get", "without a URL"),
]


@pytest.mark.parametrize(("target", "words"), INVALID)
async def test_anything_else_is_an_error(lab: Lab, target: str, words: str) -> None:
    reply = await lab.explain(target)
    assert not reply.ok
    assert reply.text.startswith("cannot explain ")
    assert words in reply.text


async def test_an_error_about_a_url_shows_no_password(lab: Lab) -> None:
    assert "secret" not in (await lab.explain("https://user:secret@a_/b_")).text
    assert "secret" not in (await lab.explain("https://user:secret@two words/")).text


@given(st.text(max_size=30) | st.from_regex(r"[a-f0-9:.\[\]/@]{0,30}", fullmatch=True))
def test_any_text_is_read_or_an_error(target: str) -> None:
    try:
        assert destination.read(target).host
    except ValueError as error:
        assert str(error).startswith("cannot explain ")


async def test_each_port_names_the_entry_that_opens_it(lab: Lab) -> None:
    """The entry by hand has the ports of the listed one, too: they must not be told as each other's."""
    await lab.ask(Allow("a.example", "8443", 600.0))
    until = time.strftime("%H:%M", time.localtime(time.time() + 600))
    both = await lab.explain("a.example")
    assert f"is open on 443, 80 (domains.conf:1) and 8443 (by hand, by root, until {until})" in both.text
    assert (await lab.explain("a.example:8443")).text.startswith(
        f"a.example:8443 is open: by hand, by root, until {until}; current addresses: 198.51.100.1"
    )
    assert (await lab.explain("a.example:80")).text.startswith("a.example:80 is open: domains.conf:1;")
    await lab.ask(Allow("x.wild.example", "22"))
    assert (
        "is open on 22 (by hand, by root, until it is revoked) and 443 (*.wild.example, domains.conf:3)"
        in (await lab.explain("x.wild.example")).text
    )


async def test_of_several_entries_that_which_keeps_a_port_open_is_named(lab: Lab) -> None:
    await lab.list("*.wide.example:80", "*.narrow.wide.example:80")
    await lab.ask(Allow("*.x.narrow.wide.example", "80", 600.0))
    assert "80 (*.narrow.wide.example, more.conf:2)" in (await lab.explain("y.x.narrow.wide.example")).text


async def test_lists_that_are_joined_keep_the_place_of_each_port(lab: Lab) -> None:
    await lab.list("a.example:22", "a.example:9000")
    assert "443, 80 (domains.conf:1), 22 (more.conf:1) and 9000 (more.conf:2)" in (await lab.explain("a.example")).text
    rows = (await lab.ask(ListAllowed())).data["entries"]
    assert [(row["ports"], row["source"]) for row in rows if row["name"] == "a.example"] == [
        ("443,80", "domains.conf:1"), ("22", "more.conf:1"), ("9000", "more.conf:2"),
    ]  # fmt: skip


LACKS = [
    ("blocked.example", "blocked by the resolver (0.0.0.0)"),
    ("six.example", "only IPv6 addresses"),
    ("empty.example", "no IPv4 address"),
    ("broken.example", "the resolver failed (192.0.2.53: SERVFAIL)"),
    ("ghost.example", "does not exist (NXDOMAIN)"),
    ("private.example", "private or metadata address (10.0.0.1)"),
]


@pytest.mark.parametrize(("name", "lack"), LACKS)
async def test_a_listed_name_without_an_address_is_never_open(lab: Lab, name: str, lack: str) -> None:
    await lab.list(name)
    unresolved = {row["name"]: row["lack"] for row in (await lab.ask(ListAllowed())).data["entries"]}
    assert unresolved[name] == "not resolved yet"
    reply = await lab.explain(f"{name}:443")
    assert not reply.data["open"]
    assert reply.text == f"{name}:443 cannot be reached: no address in DNS, {lack}. The allowlist has it: 443, 80 (more.conf:1)"
    assert {row["name"]: row["lack"] for row in (await lab.ask(ListAllowed())).data["entries"]}[name] == lack
    assert {name: one.reason for name, one in lab.guard.server.failing.items()} == {name: lack}


@pytest.mark.parametrize(("name", "lack"), LACKS)
async def test_allow_says_that_a_name_has_no_address(lab: Lab, name: str, lack: str) -> None:
    refused = await lab.ask(Allow(name))
    assert (refused.ok, refused.text) == (False, f"cannot open {name}: {lack}")
    assert not lab.guard.server.allowlist.match(name) or not lab.grants.granted
    reply = await lab.ask(Allow(name, yes=True))
    assert reply.text == f"{name} is allowed until it is revoked, but cannot be reached: {lack}"


async def test_refresh_counts_only_names_with_an_address(lab: Lab) -> None:
    await lab.list("ghost.example", "blocked.example")
    done = await lab.services.guard.ask(channel.Refresh())
    assert done.data == {"resolved": 2, "failed": 2, "left": 0}
    assert (
        done.text == "2 names resolved, 2 without an address: blocked.example (blocked by the resolver (0.0.0.0)), "
        "ghost.example (does not exist (NXDOMAIN))"
    )


async def test_before_the_first_answer_a_name_is_not_resolved_yet(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a resolver, as during boot."""
    monkeypatch.setattr(lab, "follow", lambda: None)
    lab.guard.server.allowlist, lab.guard.server.upstreams = lab.grants.allowlist, None
    assert lab.guard.unresolved() == dict.fromkeys(("a.example", "ports.example"), "not resolved yet")
    assert "no upstream resolver is set" in (await lab.explain("a.example")).text
