"""The refusals of the gate's configuration, parsed, and for each kind of rule a request that it refuses.

A rule without a case, and a case without a rule, is an error. So is a call of `refuse` in the gate's Lua files.

Length: a table of cases.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backend.contract.events import Reason
from backend.settings import credentials_file
from network import reasons
from network.gate.credentials import Host

REPOSITORIES = ("example/demo", "friend/*", "example/hidden")
ACCEPTS_JSON = "{ req.hdr(accept) -m sub -i json }"
FORWARD = '{"sha": "0123456789012345678901234567890123456789"}'
NONE = "no Host header"
_RULE = re.compile(r"(?:tcp-request|http-request|http-response) .*\b(?:deny|reject|return|tarpit|silent-drop)\b")
_CONDITION = re.compile(r' ((?:if|unless) (?:[^"]|"(?!\s+(?:if|unless)))*)$')


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that refuses: its section (a host for a backend of one), its condition, its whole text."""

    section: str
    condition: str
    text: str

    @property
    def host(self) -> str:
        return self.section.removeprefix("host_") if self.section.startswith("host_") else ""

    @property
    def as_json(self) -> bool:
        """True if the rule answers in JSON only because the client accepts it."""
        return self.condition.endswith(ACCEPTS_JSON)


def rules(configuration: str) -> list[Rule]:
    """The rules of HAProxy's configuration that refuse something."""
    section, found = "", []
    for line in configuration.splitlines():
        if head := re.match(r"(?:frontend|backend|listen|defaults|global)(?: (\S+))?$", line):
            section = head[1] or ""
        elif _RULE.search(line) and not line.strip().startswith("#"):
            condition = _CONDITION.search(line)
            found.append(Rule(section, condition[1] if condition else "", line.strip()))
    return found


@dataclass(frozen=True, slots=True)
class Request:
    """A request over HTTP/1.1. `host` is in its Host header; `version` 2 is a request over HTTP/2 with the scheme http."""

    target: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    host: str = ""
    chunked: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class Case:
    """A request for each host whose rule's condition contains `condition`, and what is said about it.

    `detail` is a key of DETAILS. `named` completes it. `logged` is what the journal has in place of a detail.
    """

    condition: str
    make: Callable[[Host], Iterable[Request]]
    reason: Reason
    detail: str = ""
    named: str = ""
    logged: str | None = None

    @property
    def phrase(self) -> str:
        return reasons.DETAILS[self.detail].replace("{}", self.named) if self.detail else ""


def credential(host: Host) -> tuple[str, str]:
    """The header with which the agent presents the placeholder."""
    first = host.credentials[0]
    return first.header, ("Bearer " if first.header == "authorization" else "") + first.placeholder


def own(host: Host) -> tuple[tuple[str, str], ...]:
    """The placeholder as a header, if the host takes it."""
    return () if host.any_credential else (credential(host),)


def with_credential(target: str, method: str = "GET", body: str = "", **more: str) -> Callable[[Host], Iterable[Request]]:
    headers = tuple((name.replace("_", "-"), value) for name, value in more.items())
    return lambda host: [Request(target, method, (*own(host), *headers), body)]


def without(target: str = "/", method: str = "GET", body: str = "", **more: str) -> Callable[[Host], Iterable[Request]]:
    headers = tuple((name.replace("_", "-"), value) for name, value in more.items())
    return lambda host: [Request(target, method, headers, body)]


def header_twice(name: str) -> Callable[[Host], Iterable[Request]]:
    return lambda host: [Request(headers=((name, "one"), (name, "two")))]


def inside(host: Host) -> Iterable[Request]:
    return [Request(f"{host.below}/example/demo/never-granted", "POST", (credential(host),), "{}")]


BRANCH = "/repos/example/demo/git/refs/heads/work"
PUSH = "/example/demo/git-receive-pack"
DEMO = "/repos/example/demo"
LIMITED = tuple(  # bodies with a list of members
    write.replace("PUSH", DEMO).replace("*", "5").split(" ") for host in credentials_file.shipped() for write, _ in host.members
)
# Of the hosts with a credential. The first case whose condition fits a rule is that rule's.
OF_HOSTS = (
    Case("if { req.hdr_cnt(authorization) gt 1 }", header_twice("authorization"), Reason.NOT_OURS, logged="-"),
    Case("if { req.hdr_cnt(x-api-key) gt 1 }", header_twice("x-api-key"), Reason.NOT_OURS, logged="-"),
    Case("if { req.hdr_cnt(private-token) gt 1 }", header_twice("private-token"), Reason.NOT_OURS, logged="-"),
    Case("{ req.hdr(proxy-authorization) -m found }", without(proxy_authorization="x"), Reason.NOT_OURS, logged="-"),
    Case("{ query -m reg -i '(^|[&;])(", without("/?access_token=x"), Reason.NOT_OURS, logged="-"),
    Case("{ var(txn.names) -m reg", without(x_other_token="x"), Reason.NOT_OURS, logged="-"),
    Case("{ req.hdr(authorization) -m found }", without(authorization="Bearer x"), Reason.NOT_OURS, logged="-"),
    Case("{ req.hdr(x-api-key) -m found }", without(x_api_key="x"), Reason.NOT_OURS, logged="-"),
    Case("{ req.hdr(private-token) -m found }", without(private_token="x"), Reason.NOT_OURS, logged="-"),
    Case("{ req.hdrs -m reg", with_credential("/v1/models", anthropic_beta="mcp-client-1"), Reason.NOT_GRANTED, logged="-"),
    Case("if !{ var(txn.path) -m found }", with_credential("/%zz"), Reason.TWO_WAYS),
    Case("if { path -m sub %00 }", with_credential("/a%00b"), Reason.TWO_WAYS),
    Case("-m beg -i /api/oauth/claude_cli/create_api_key", with_credential("/api/oauth/claude_cli/create_api_key"),
         Reason.NOT_GRANTED, logged="GET /api/oauth/claude_cli/create_api_key"),
    Case("-m beg -i /v1/organizations", with_credential("/v1/organizations"), Reason.NOT_GRANTED,
         logged="GET /v1/organizations"),
    Case("if { var(txn.unplain) -m bool }", with_credential("/x/../y"), Reason.TWO_WAYS, logged="GET /x/../y"),
    Case("{ var(txn.writes) -m bool } { var(txn.unplain) -m bool }", with_credential("/a//b", "POST", "{}"), Reason.TWO_WAYS),
    Case("{ var(txn.writes) -m bool } { path -m sub -i %2f }", with_credential("/a%2Fb", "POST", "{}"), Reason.TWO_WAYS),
    Case(r"!{ var(txn.fits) -m bool } { var(txn.path) -m reg", inside, Reason.NOT_GRANTED),
    # Of a host without repositories to write to, the reason is that it is not granted (see `expected`).
    Case("{ var(txn.writes) -m bool } !{ var(txn.fits) -m bool }", with_credential("/evil/repo/x", "POST", "{}"),
         Reason.PUSH_SCOPE),
    Case("branch { method PATCH } { query -m found }", with_credential(f"{BRANCH}?x", "PATCH", FORWARD), Reason.NOT_FORWARD),
    Case(r"branch { method PATCH } !{ req.body -m reg", with_credential(BRANCH, "PATCH", "{}"), Reason.NOT_FORWARD),
    Case("branch { method PATCH } !{ req.body,hex", with_credential(BRANCH, "PATCH", FORWARD + "\0{}"), Reason.NOT_FORWARD),
    Case("branch { method PATCH } !{ req.hdr(content-length)",
         lambda host: [Request(BRANCH, "PATCH", (credential(host),), FORWARD, chunked=True)], Reason.NOT_FORWARD),
    Case("branch { method DELETE } !{ var(txn.branch)",
         with_credential("/repos/example/demo/git/refs/heads/main", "DELETE"), Reason.DEFAULT_BRANCH),
    *(case for number, (method, path) in enumerate(LIMITED) for case in (
        Case(f"limited{number} {{ method {method} }} {{ query -m found }}", with_credential(f"{path}?x", method, "{}"),
             Reason.UNCLEAR, "json_body"),
        Case(f"limited{number} {{ method {method} }} {{ req.hdr(content-encoding)",
             with_credential(path, method, "{}", content_encoding="gzip"), Reason.UNCLEAR, "json_body"),
        Case(f"limited{number} {{ method {method} }} !{{ var(txn.members)", with_credential(path, method, "[]"),
             Reason.UNCLEAR, "not_object"))),
    Case("new_ref { method POST } { query -m found }", with_credential(f"{DEMO}/git/refs?x", "POST", "{}"), Reason.UNCLEAR,
         "json_body"),
    Case("new_ref { method POST } { req.hdr(content-encoding)",
         with_credential(f"{DEMO}/git/refs", "POST", "{}", content_encoding="gzip"), Reason.UNCLEAR, "json_body"),
    Case("new_ref { method POST } !{ var(txn.new_ref)", with_credential(f"{DEMO}/git/refs", "POST", "{}"), Reason.NOT_GRANTED,
         "no_ref", "ref"),
    Case("update { method PUT } !{ var(txn.own_head)", with_credential(f"{DEMO}/pulls/9/update-branch", "PUT", "{}"),
         Reason.PUSH_SCOPE, "head", "pull request 9"),
    Case("push { method POST } { req.hdr(content-encoding)", with_credential(PUSH, "POST", "0000", content_encoding="gzip"),
         Reason.UNCLEAR, "compressed"),
    Case("push { method POST } !{ var(txn.push)", with_credential(PUSH, "POST", "garbage"), Reason.UNCLEAR, "push"),
    Case("graphql { query -m found }", with_credential("/graphql?x", "POST", "{}"), Reason.UNCLEAR, "not_graphql"),
    Case("graphql { req.hdr(content-encoding) -m found }", with_credential("/graphql", "POST", "{}", content_encoding="gzip"),
         Reason.UNCLEAR, "not_graphql"),
    Case("graphql !{ method POST } { req.body_len gt 0 }", with_credential("/graphql", "GET", "{}"), Reason.UNCLEAR,
         "not_graphql"),
    Case("graphql { method POST } !{ var(txn.graphql)", with_credential("/graphql", "POST", "[]"), Reason.UNCLEAR,
         "not_object"),
    Case("{ var(txn.secret) -m str", lambda host: [Request("/v2/", headers=(credential(host),))],
         Reason.NOT_USED_HERE, logged="GET /v2/"),
    Case("if !{ var(txn.lfs) -m str fine }", without("/media/x", "PUT", "x"), Reason.NOT_HANDED_OUT, logged="PUT /media/x"),
)  # fmt: skip
# Before the host is chosen; at any of the hosts.
OF_PROXY = (
    Case("!{ var(txn.host),strcmp(txn.name) eq 0 }", lambda host: [Request(host="other.test")], Reason.MISDIRECTED),
    Case("{ fc_http_major 1 } !{ url -m beg / }", lambda host: [Request(f"http://u:p@{host.name}/")], Reason.UNCLEAR, "url"),
    Case("{ fc_http_major 2 } !{ url -m beg / https:// }", lambda host: [Request(version=2)], Reason.UNCLEAR, "url"),
    Case("{ method CONNECT TRACE }", lambda host: [Request(method="TRACE")], Reason.UNCLEAR, "method"),
)
# Of plain HTTP; the addresses are those of plain.test and spoken.test (port 8080, HTTP).
OF_HTTP = {
    "if { method CONNECT TRACE }": (Request(method="TRACE", host="plain.test"), Reason.UNCLEAR, "method"),
    "unless { req.hdr_cnt(host) eq 1 }": (Request(host=NONE), Reason.UNCLEAR, "host_headers"),
    "unless { req.hdr(host) -m reg": (Request(host="plain.test@x"), Reason.UNCLEAR, "host_header"),
    "unless { url -m beg / }": (Request("http://u:p@plain.test/", host="plain.test"), Reason.UNCLEAR, "url"),
    "if { req.hdr(host) -m sub : }": (Request(host="plain.test:81"), Reason.UNCLEAR, "host_port"),
    "if !listed !named": (Request(host="unlisted.test"), Reason.ANOTHER_SITE, ""),
    "unless listed": (Request(host="short.test"), Reason.PORT_NOT_LISTED, ""),
    "unless resolved": (Request(host="empty.test"), Reason.NO_ADDRESS, ""),
}  # fmt: skip
# Of an entry that grants only reading, over TLS and plain HTTP: the request, its reason, and the detail or what is logged.
OF_GRANTS = {
    "if { var(txn.names) -m reg": (Request(headers=(("x-http-method-override", "PUT"),)), Reason.REQUEST, "override", ""),
    "if { query -m reg": (Request("/?_method=PUT"), Reason.REQUEST, "override", ""),
    "if { req.hdr(upgrade) -m found }": (
        Request(headers=(("upgrade", "irc"), ("connection", "upgrade"))), Reason.REQUEST, "upgrade", ""
    ),
    "if !{ var(txn.path) -m found }": (Request("/%zz"), Reason.TWO_WAYS, "", "GET:/%zz"),
    "if { path -m sub %00 }": (Request("/a%00b"), Reason.TWO_WAYS, "", "GET:/a%00b"),
    "if { var(txn.path) -m reg": (Request("/a//b"), Reason.TWO_WAYS, "", "GET:/a//b"),
    "if !{ method GET HEAD": (Request("/a", "PROPFIND"), Reason.REQUEST, "", "PROPFIND:/a"),
    "if !{ var(txn.asked) -m reg": (Request("/a/9", "POST", body="{}"), Reason.REQUEST, "", "POST:/a/*"),
    "if { method GET HEAD OPTIONS } { req.hdr(transfer-encoding) -m found }": (
        Request(body="x", chunked=True), Reason.REQUEST, "body", ""
    ),
    "if { method GET HEAD OPTIONS } { req.hdr(content-length) -m found }": (Request(body="x"), Reason.REQUEST, "body", ""),
}  # fmt: skip
# These are refused by the firewall before they reach the gate, are not said to the client, or need another test.
ELSEWHERE = {
    ("tls", "if { dst 127.0.0.0/8 }"): "the firewall refuses it (test_the_gates_own_address)",
    ("http", "if { dst 127.0.0.0/8 }"): "the firewall refuses it (test_the_gates_own_address)",
    ("tls", "if asked !listed"): "test_a_client_hello",
    ("tls", "if asked !resolved"): "test_a_client_hello",
    ("tls", "if { var(txn.wide) -m found }"): "test_a_client_hello",
    ("granted", "if { method GET HEAD OPTIONS } { req.body_size gt 0 }"): "a body over HTTP/2 (test_read_grants.py)",
    ("granted_http", "if { method GET HEAD OPTIONS } { req.body_size gt 0 }"): "over HTTP/1.1 a body is announced",
    ("tls", "if WAIT_END"): "the client has sent nothing: there is no decision (test_a_silent_client)",
    ("nothing", "if TRUE"): "no certificate without a backend (test_each_certificate_has_a_backend)",
    ("credential_proxy", "if !{ req.hdr_cnt(host) le 1 }"): "HAProxy refuses it before (test_what_is_not_http)",
    ("github.com", "if { status 404 }"): "GitHub's answer (test_a_hidden_repository)",
    ("", "if !{ var(txn.target) -m found }"): "test_a_host_that_has_lost_its_address",
}


def mutation(text: str) -> str:
    return json.dumps({"query": f"mutation {{ {text} }}"})


def comment(**more: object) -> str:
    query = "mutation($input: AddCommentInput!) { addComment(input: $input) { subject { id } } }"
    return json.dumps({"query": query, "variables": {"input": more}})


@dataclass(frozen=True, slots=True)
class Refused:
    """A body for GraphQL that a call of `refuse` in the Lua files refuses."""

    body: str
    named: str = ""
    reason: Reason = Reason.UNCLEAR


# By the key in the call.
GRAPHQL: Mapping[str, Refused] = {
    "json": Refused("{"),
    "json_twice": Refused('{"query": "{ a }", "query": "{ b }"}'),
    "not_utf8": Refused('{"query": "\\ud800"}'.replace("\\ud800", "\xff")),
    "not_object": Refused("[]"),
    "members": Refused('{"query": "{ a }", "extensions": {}}'),
    "no_query": Refused('{"query": 1}'),
    "variables": Refused('{"query": "{ a }", "variables": []}'),
    "character": Refused(json.dumps({"query": "mutation ~"})),
    "comments": Refused(json.dumps({"query": "# x\r mutation { a(input: {}) { id } }"})),
    "string": Refused(mutation('addComment(input: {subjectId: "I_1", body: "a\nb"}) { id }')),
    "string_end": Refused(mutation('addComment(input: {subjectId: "I_1", body: """a""""}) { id }')),
    "number": Refused(mutation("addComment(input: {subjectId: 1a}) { id }")),
    "query": Refused(mutation("... on Mutation { a(input: {}) { id } }")),
    "query_twice": Refused(mutation('addComment(input: {subjectId: "I_1", subjectId: "I_2"}) { id }')),
    "default_value": Refused(json.dumps({"query": 'mutation($a: ID = "I_2") { addComment(input: {id: $a}) { id } }'})),
    "arguments": Refused(mutation('addComment(subjectId: "I_1") { id }')),
    "operations": Refused(json.dumps({"query": 'query A { a } mutation B { addComment(input: {subjectId: "I_1"}) { id } }'})),
    "id": Refused(comment(subjectId=17)),
    "no_object": Refused(comment(body="b"), "addComment"),
    "many_objects": Refused(comment(labelIds=[f"I_{number}" for number in range(101)]), "addComment"),
    "not_branch": Refused(mutation('deleteRef(input: {refId: "TAG_1"}) { x }'), "deleteRef", Reason.NOT_GRANTED),
    "elsewhere": Refused(comment(subjectId="I_2"), "addComment", Reason.PUSH_SCOPE),
    "mutation": Refused(mutation('createGist(input: {id: "R_1"}) { id }'), "createGist", Reason.NOT_GRANTED),
    "force": Refused(
        mutation('updateRef(input: {refId: "BRANCH_1", oid: "a1", force: true}) { x }'), "updateRef", Reason.NOT_FORWARD
    ),
    "rebase": Refused(
        mutation('updatePullRequestBranch(input: {pullRequestId: "PR_1", updateMethod: REBASE}) { x }'),
        "updatePullRequestBranch", Reason.NOT_FORWARD,
    ),
    "field": Refused(
        mutation('updateIssue(input: {id: "I_1", agentAssignment: {}}) { x }'), "updateIssue.agentAssignment",
        Reason.NOT_GRANTED,
    ),
    "no_ref_in": Refused(
        mutation('createRef(input: {repositoryId: "R_1", name: "refs/x/y"}) { x }'), "createRef", Reason.NOT_GRANTED
    ),
    "head": Refused(
        mutation('updatePullRequestBranch(input: {pullRequestId: "FORK_1"}) { x }'), "updatePullRequestBranch",
        Reason.PUSH_SCOPE,
    ),
    "zero": Refused(
        mutation('updateRefs(input: {repositoryId: "R_1", refUpdates: [{name: "refs/heads/a", afterOid: "0"}]}) { x }'),
        "updateRefs", Reason.NOT_GRANTED,
    ),
    "protected": Refused(mutation('deleteRef(input: {refId: "PROTECTED_1"}) { x }'), "deleteRef", Reason.PROTECTED_BRANCH),
    "default": Refused(mutation('deleteRef(input: {refId: "DEFAULT_1"}) { x }'), "deleteRef", Reason.DEFAULT_BRANCH),
}  # fmt: skip
# Calls of `refuse` with a key that no request of a client causes alone, or that another test causes.
OTHER_CALLS = {
    "length": "test_scope.py: a body without Content-Length, and one that does not fit",
    "branch": "a defect of the gate: the rules and the Lua file disagree about a path",
    "undecided": "test_ways_out.py: GitHub does not answer the gate",
    "default_branch": "test_a_repository_without_a_default_branch",
    **dict.fromkeys(
        ("push", "push_long", "push_many", "push_option", "push_twice", "ref", "no_ref"),
        "test_pushes.py, and unit tests of push.lua",
    ),
    **dict.fromkeys(("text_long", "text_unread"), "test_references.py, and unit tests of references.lua and push.lua"),
    "member": "test_ways_out.py, and unit tests of members.lua",
    "lfs_expired": "test_lfs.py: it needs an address that GitHub has handed out",
    "lfs_credential": "test_lfs.py: it needs an address that GitHub has handed out",
}
CALL = re.compile(r'\brefuse\((?:"(\w+)"|nil)')
ABSENT = re.compile(r'\babsent\("(\w+)"\)')


def calls(files: Iterable[Path]) -> set[str]:
    """The keys of all calls of `refuse`."""
    return {call[1] for file in files for call in CALL.finditer(file.read_text()) if call[1]}


@dataclass(slots=True)
class Table:
    """Rules with their cases. `unknown` has the rules without one, `unused` the cases without a rule."""

    matched: list[tuple[Rule, Case]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def matched(found: Iterable[Rule]) -> Table:
    """Finds the case of each rule about hosts with a credential."""
    table, used = Table(), set()
    for rule in found:
        if any(rule.condition.startswith(text) and place in (rule.section, rule.host, "") for place, text in ELSEWHERE):
            continue
        if rule.section in ("http", "granted", "granted_http"):
            known: Iterable[str] = OF_HTTP if rule.section == "http" else OF_GRANTS
            key = next((text for text in known if rule.condition.startswith(text)), "")
            used.add(key)
            table.unknown += [] if key else [f"{rule.section}: {rule.condition}"]
            continue
        cases = OF_HOSTS if rule.host else OF_PROXY if rule.section == "credential_proxy" else ()
        case = next((case for case in cases if case.condition in rule.condition), None)
        if case is None:
            table.unknown.append(f"{rule.section}: {rule.condition}")
        else:
            used.add(case.condition)
            table.matched.append((rule, case))
    everything = [*OF_HTTP, *OF_GRANTS, *(case.condition for case in (*OF_HOSTS, *OF_PROXY))]
    table.unused = [condition for condition in everything if condition not in used]
    return table


def expected(case: Case, host: Host) -> Reason:
    """The reason of a case at a host."""
    if case.reason is Reason.PUSH_SCOPE and not host.writes_to_repositories:
        return Reason.NOT_GRANTED
    return case.reason
