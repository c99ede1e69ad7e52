"""HAProxy rules that limit the use of a host's credential: nearly all reads pass, only listed writes do.

Rules compare a path in one form: decoded once, without trailing slashes, ignoring case. A write whose path a server could read
differently is refused. Source: HAProxy configuration manual 2.6; RFC 3986, sections 2.4 and 6.2.
"""

from __future__ import annotations

from collections.abc import Iterable

from network import reasons
from network.gate import references, written
from network.gate.credentials import Host
from network.gate.headers import dropped
from network.gate.rules import Refusal, checked_by_lua, deny

# Parts of a decoded path that servers may read differently: encoded twice, double slashes, dot segments, terminators.
UNPLAIN = r"'[%;\\?#[:cntrl:]]|//|/\.\.?(/|$)'"
UNPRINTABLE = "'[^ -~]'"
NUL = "%00"
ENCODED_SLASH = "%2f"  # part of a segment for some servers, a separator for others
# The only bodies that may move a branch. Without force, GitHub refuses anything but a fast-forward.
_FORCE = r'"force"\s*:\s*false'
FORWARD = rf'^\s*\{{\s*({_FORCE}\s*,\s*)?"sha"\s*:\s*"[0-9a-fA-F]+"\s*(,\s*{_FORCE}\s*)?\}}\s*$'
NO_NUL = "^([1-9a-f].|0[1-9a-f])+$"  # of a body in hexadecimal
RECEIVE_PACK = "/git-receive-pack"


def scope(host: Host, repositories: tuple[str, ...], asks: str) -> Iterable[str]:
    """Rules for a request whose credentials have passed. `asks` is the socket for the gate's own queries.

    The rules set txn.verdict and txn.detail for the log.
    """
    granted = Refusal(403, reasons.NOT_GRANTED, host.answers)
    yield from _headers(host, granted)
    yield from _path()
    if not host.announces:
        yield _what(host)
    two_ways = Refusal(400, reasons.TWO_WAYS, host.answers)
    yield from deny(two_ways, "!{ var(txn.path) -m found }")
    yield from deny(two_ways, f"{{ path -m sub {NUL} }}")  # HAProxy 3.2 does not decode it, older versions do
    for path in host.refuse_paths:
        yield from deny(granted, f"{{ var(txn.path) -m beg -i {path} }}")
    if host.refuse_paths:
        yield from deny(Refusal(403, reasons.TWO_WAYS, host.answers), "{ var(txn.unplain) -m bool }")
    yield from _writes(host, repositories, granted)
    yield from _members(host, repositories)
    yield f"http-request set-var(txn.graphql_push) str('{' '.join(repositories) or '-'}')"
    yield from references.permitted(host, repositories)
    if host.heads:
        yield from _heads(host, repositories, asks)
    if host.branches:
        yield from _branches(host, repositories, asks)
    if host.guards_branches:
        yield from _pushes(host, asks)
    if host.graphql:
        yield from _graphql(host, repositories, asks)
    yield from references.searched(host, repositories, read_as_json)
    yield from written.rules(host)
    yield "http-request set-var(txn.detail) str(-)"


def _headers(host: Host, granted: Refusal) -> Iterable[str]:
    """Rules for headers that change the effect of a request. An underscore counts as a dash, as in CGI, WSGI and Rack."""
    for header, text in host.refuse_headers:
        pattern = header.replace(".", r"\.").replace("-", "[_-]") + r":[^\n]*" + text.replace(".", r"\.")
        yield from deny(granted, rf"{{ req.hdrs -m reg -i '(^|\n){pattern}' }}")
    yield f"http-request del-header '{dropped(credential.header for credential in host.credentials)}' -m reg"
    yield "http-request del-header _ -m sub"


def _path() -> Iterable[str]:
    """Rules that set txn.path for all other rules (unset if it cannot be decoded), txn.unplain, and txn.shown for the log.

    A decoded line break would start a new log line. HAProxy's regular expressions stop at a NUL, so they check for it first.
    """
    yield "http-request set-var(txn.path) path,url_dec"
    yield f"http-request set-var(txn.unplain) bool(true) if {{ var(txn.path) -m reg {UNPLAIN} }}"
    yield f"http-request set-var(txn.unplain) bool(true) if {{ path -m sub {NUL} }}"
    yield "http-request set-var(txn.path) var(txn.path),regsub(/+$,)"
    yield "http-request set-var(txn.shown) var(txn.path)"
    yield f"http-request set-var(txn.shown) path if {{ var(txn.path) -m reg {UNPRINTABLE} }} || {{ path -m sub {NUL} }}"


def _what(host: Host) -> str:
    """A rule that sets txn.detail, a short form of the request: `POST issues/*/comments in octo/repo`, or method and path.

    It replaces numbers, so that similar requests share a row on the dashboard.
    """
    numbers = "\"regsub('/[0-9]+(?![^/])','/*',g)\""
    pattern, short = f"^([A-Z]+) {host.below}/([^/]+/[^/]+)/(.+)", r"\\1 \\3 in \\2"
    repository = f",\"regsub('{pattern}','{short}',i)\"" if host.below else ""
    return f'http-request set-var(txn.detail) method,concat(" ",txn.shown),{numbers}{repository}'


def _writes(host: Host, repositories: tuple[str, ...], granted: Refusal) -> Iterable[str]:
    yield "http-request set-var(txn.writes) bool(true) unless { method GET HEAD }"
    if host.announces:
        yield "http-request set-var(txn.query) query,url_dec(1)"
        yield f"http-request set-var(txn.writes) bool(true) if {{ var(txn.query) -m sub -i {host.announces} }}"
        yield "http-request set-var(txn.writes) bool(true) if { query -m found } !{ var(txn.query) -m found }"
    writes = "{ var(txn.writes) -m bool }"
    two_ways = Refusal(403, reasons.TWO_WAYS, host.answers)
    yield from deny(two_ways, f"{writes} {{ var(txn.unplain) -m bool }}")
    yield from deny(two_ways, f"{writes} {{ path -m sub -i {ENCODED_SLASH} }}")
    if host.announces:  # the repository in the path of a push
        yield "http-request set-var(txn.owner) var(txn.shown),field(2,/)"
        yield "http-request set-var(txn.detail) var(txn.shown),field(3,/)"
        yield "http-request set-var(txn.detail) var(txn.owner),concat(/,txn.detail)"
    yield "http-request set-var(txn.fits) bool(false)"
    for write in host.allowed(repositories):
        matches = f"{{ method {write.method} }} {{ var(txn.path) -m reg -i '{write.path}' }}"
        yield f"http-request set-var(txn.fits) bool(true) if {matches}"
    refused = f"{writes} !{{ var(txn.fits) -m bool }}"
    if host.writes_to_repositories:
        if inside := host.inside(repositories):
            yield from deny(granted, f"{refused} {{ var(txn.path) -m reg -i '{inside}' }}")
        yield from deny(Refusal(403, reasons.PUSH_SCOPE, host.answers, repositories=repositories), refused)
    else:
        yield from deny(granted, refused)


def _branches(host: Host, repositories: tuple[str, ...], asks: str) -> Iterable[str]:
    """Rules that permit only fast-forwards of branches (GitHub refuses the rest) and protect guarded ones (branches.lua).

    A new ref must be a branch, a tag or notes.
    """
    pattern = host.below_branches(repositories)
    if not pattern:
        return
    if created := host.creates_refs(repositories):
        yield f"acl new_ref var(txn.path) -m reg -i '{created}'"
        yield from read_as_json("new_ref { method POST }", host)
        yield from checked_by_lua("new_ref", "txn.new_ref", host.answers, "new_ref { method POST }")
    yield f"acl branch var(txn.path) -m reg -i '{pattern}'"
    moves = "branch { method PATCH }"
    forward = Refusal(403, reasons.NOT_FORWARD, host.answers)
    yield from deny(forward, f"{moves} {{ query -m found }}")
    yield f"http-request wait-for-body time 10s if {moves}"
    yield from deny(forward, f"{moves} !{{ req.body -m reg '{FORWARD}' }}")
    yield from deny(forward, f"{moves} !{{ req.body,hex -m reg -i '{NO_NUL}' }}")  # the regular expression stops at a NUL
    yield "http-request set-var(txn.length) req.body_len"
    yield from deny(forward, f"{moves} !{{ req.hdr(content-length),sub(txn.length) eq 0 }}")  # the rest would not be checked
    deletes = "branch { method DELETE }"
    yield f"http-request set-var(txn.below) str({host.below})"
    yield f"http-request set-var(txn.branches) str({host.branches.removeprefix('PUSH').rstrip('/')}/)"
    yield f"http-request set-var(txn.graphql_path) str({host.graphql})"
    yield f"http-request set-var(txn.graphql_ask) str({asks})"
    yield from checked_by_lua("deletable_branch", "txn.branch", host.answers, deletes)


def _members(host: Host, repositories: tuple[str, ...]) -> Iterable[str]:
    """Rules for bodies of which only certain members pass (members.lua). They set the content type that the gate has read."""
    for number, (write, names) in enumerate(host.limited(repositories)):
        limited = f"limited{number}"
        yield f"acl {limited} var(txn.path) -m reg -i '{write.path}'"
        condition = f"{limited} {{ method {write.method} }}"
        yield f"http-request set-var(txn.members_allowed) str('{' '.join(names)}') if {condition}"
        yield from read_as_json(condition, host)
        yield from checked_by_lua("members", "txn.members", host.answers, condition)


def read_as_json(condition: str, host: Host) -> Iterable[str]:
    """Rules that read the body of a request as the server will read it."""
    plain = Refusal(403, reasons.UNCLEAR, host.answers, "json_body")
    yield from deny(plain, f"{condition} {{ query -m found }}")
    yield from deny(plain, f"{condition} {{ req.hdr(content-encoding) -m found }}")
    yield f"http-request set-header content-type application/json if {condition}"
    yield f"http-request wait-for-body time 10s if {condition}"


def _heads(host: Host, repositories: tuple[str, ...], asks: str) -> Iterable[str]:
    """Rules for updates of a pull request's branch, which may be in somebody's fork (branches.lua)."""
    if not (pattern := host.updates(repositories)):
        return
    yield f"acl update var(txn.path) -m reg -i '{pattern}'"
    yield f"http-request set-var(txn.below) str({host.below})"
    yield f"http-request set-var(txn.graphql_path) str({host.graphql})"
    yield f"http-request set-var(txn.graphql_ask) str({asks})"
    yield from checked_by_lua("own_head", "txn.own_head", host.answers, "update { method PUT }")


def _pushes(host: Host, asks: str) -> Iterable[str]:
    """Rules for git pushes: push.lua checks their commands, which come first in the body.

    git sends a large push in pieces, but prepares a megabyte of it before the request.
    """
    asked, _, path = host.guards_branches.partition("/")
    yield f"acl push var(txn.path) -m reg -i '{RECEIVE_PACK}$'"
    pushes = "push { method POST }"
    yield from deny(
        Refusal(403, reasons.UNCLEAR, host.answers, "compressed"), f"{pushes} {{ req.hdr(content-encoding) -m found }}"
    )
    yield f"http-request set-var(txn.asks_host) str({asked})"
    yield f"http-request set-var(txn.graphql_path) str(/{path})"
    yield f"http-request set-var(txn.graphql_ask) str({asks})"
    yield f"http-request wait-for-body time 60s if {pushes}"
    yield from checked_by_lua("push_commands", "txn.push", host.answers, pushes, service="refused_push")


def _graphql(host: Host, repositories: tuple[str, ...], asks: str) -> Iterable[str]:
    """Rules for GraphQL. They first refuse query strings and content encodings, which could hide a second query."""
    yield f"acl graphql var(txn.path) -m reg -i '^{host.graphql}(/.*)?$'"
    plain = Refusal(403, reasons.UNCLEAR, host.answers, "not_graphql")
    yield from deny(plain, "graphql { query -m found }")
    yield from deny(plain, "graphql { req.hdr(content-encoding) -m found }")
    yield "http-request wait-for-body time 10s if graphql !{ method POST }"
    yield from deny(plain, "graphql !{ method POST } { req.body_len gt 0 }")
    yield "http-request set-header content-type application/json if graphql { method POST }"
    yield f"http-request set-var(txn.graphql_inputs) str('{' '.join(host.inputs)}')"
    yield f"http-request set-var(txn.graphql_mutations) str('{' '.join(host.mutations)}')"
    yield f"http-request set-var(txn.graphql_path) str({host.graphql})"
    yield f"http-request set-var(txn.graphql_ask) str({asks})"
    yield "http-request wait-for-body time 10s if graphql { method POST }"
    yield from checked_by_lua("graphql_scope", "txn.graphql", host.answers, "graphql { method POST }")
