"""The wording of refusals: one reason and one piece of advice for each decision, wherever it is made and shown.

DNS, firewall and gate, `codetainer explain` and `status`, the dashboard, the log and Claude's hook take their words from here.
The gate's rules and Lua files get them rendered (network/gate/wording.py).

A reason is a clause of at most 36 characters, the width of a column of the dashboard; its first 20 characters differ from those
of all others. Advice is a sentence for agent and operator alike. Constants and functions only, without imports: the
hook reads this file each time that Claude has used a tool.
"""

NOT_LISTED = "not on the allowlist"
PORT_NOT_LISTED = "port not listed"
NEVER_RESOLVED = "no DNS lookup"
NO_ADDRESS = "no address in DNS"
ANOTHER_SITE = "different host on an allowed address"
MISDIRECTED = "not the host of the connection"
UNCLEAR = "cannot be checked"
PUSH_SCOPE = "outside the writable repositories"
NOT_OURS = "foreign credential"
NOT_USED_HERE = "credential not used at this host"
NOT_GRANTED = "not granted to the agent"
REQUEST = "request not granted"
TWO_WAYS = "path can be read in two ways"
NOT_FORWARD = "only fast-forwards of a branch"
DEFAULT_BRANCH = "deletion of the default branch"
PROTECTED_BRANCH = "deletion of a protected branch"
FORCE_PUSH = "force-push to a guarded branch"
TAG = "change of a tag"
NOT_HANDED_OUT = "address not handed out by GitHub"
REFERENCE = "reference or mention not permitted"
UNANSWERED = "GitHub did not answer the gate"
MODEL = "not permitted to the model"
PRIVATE = "private or metadata address"
BLOCKED = "blocked by the resolver"
NOT_TCP = "only TCP is allowed"
IPV6 = "IPv6 is not allowed"
EXPIRED = "DNS lease expired"
FROZEN = "the sandbox is frozen"
OWN = "the sandbox's own port"
UNREAD = "too many at once to be logged"

# An entry of the allowlist opens these; the advice is the command (see `advice`).
LISTABLE = (NOT_LISTED, PORT_NOT_LISTED)
# `explain` gives the cause, and the sandbox's own lookups cause these, too: the hook does not report them.
OF_RESOLVER = (PRIVATE, BLOCKED)

WRITABLE = "the sandbox's repositories"
ADVICE = {
    NOT_LISTED: "No entry of the allowlist can open it.",
    PORT_NOT_LISTED: "No entry of the allowlist can open it.",
    NEVER_RESOLVED: "Connect by name: an address is open only after DNS has returned it for an allowed name.",
    NO_ADDRESS: "The name is on the allowlist, but DNS has no usable address for it.",
    ANOTHER_SITE: "This host is not on the allowlist, although another one at its address is.",
    MISDIRECTED: "Open a separate connection to each host.",
    UNCLEAR: "Send it in the usual form: it must have only one meaning.",
    PUSH_SCOPE: "Writes go to {repositories} only; the operator can add others with CODETAINER_PUSH, which is read at boot.",
    NOT_OURS: "Only the operator's credentials work here: use those in the environment unchanged.",
    NOT_USED_HERE: "Send no credential: public images can be pulled without one.",
    NOT_GRANTED: "Only the operator may do this, or grant it in credentials.toml, which is read at boot.",
    REQUEST: "This host grants other requests only, often just reading; the operator can run codetainer allow NAME --grant.",
    TWO_WAYS: "Send the path without encoding, dots or double slashes.",
    NOT_FORWARD: "Use git push for anything else, or send sha alone in the body.",
    DEFAULT_BRANCH: "Only the operator may delete the default branch.",
    PROTECTED_BRANCH: "Only the operator may delete a branch that is protected at GitHub.",
    FORCE_PUSH: "Merge or rebase onto the branch and push again; push hundreds of commits to a new branch first.",
    TAG: "Only the operator may move or delete a tag, because others may have fetched it.",
    NOT_HANDED_OUT: "Repeat the whole transfer: git-lfs then asks GitHub for new addresses.",
    REFERENCE: "Name other repositories and accounts without at sign, number sign or link, as in owner/repo issue 1; "
    "CODETAINER_REFERENCES, read at boot, refuses them.",
    UNANSWERED: "Try again: the gate has to ask GitHub about the objects of the request, at api.github.com.",
    MODEL: "Only the agent's own tools work here; the operator can permit more with CODETAINER_MODEL_TOOLS, read at boot.",
    PRIVATE: "Private, link-local and metadata addresses are never opened.",
    BLOCKED: "The resolver outside answers with 0.0.0.0: unblock the name there.",
    NOT_TCP: "Use TCP, and the sandbox's own resolver for DNS.",
    IPV6: "Use IPv4: nothing leaves the sandbox over IPv6.",
    EXPIRED: "Look the name up again: DNS then opens its current addresses.",
    FROZEN: "The operator can run codetainer thaw to open it again.",
    OWN: "The sandbox's own services are closed to the agent.",
    UNREAD: "Send less at once: the gate could log only how many there were.",
}

# What cannot be checked, or how an address differs from the one that was handed out. `{}` stands for a name in the request.
DETAILS = {
    # --- a connection, or the head of a request ---
    "no_tls": "no TLS",
    "no_name": "no name",
    "encrypted_name": "encrypted name",
    "unreadable_hello": "unreadable hello",
    "not_http": "no valid HTTP request",
    "method": "CONNECT and TRACE are not forwarded",
    "host_headers": "expected exactly one Host header",
    "host_header": "the Host header is invalid",
    "url": "expected a path, not a URL",
    "host_port": "the Host header names another port",
    "not_graphql": "this is not a plain GraphQL request",
    # --- an entry that grants only some requests ---
    "body": "only reading is granted here, without a body",
    "override": "a header or the query names another method",
    "upgrade": "other protocols are not granted here",
    "too_deep": "more than one label below a wildcard",
    # --- JSON and GraphQL ---
    "json": "the JSON cannot be parsed",
    "json_twice": "the JSON has a duplicate name",
    "length": "the request is too long or has no Content-Length",
    "not_utf8": "the request is not UTF-8",
    "not_object": "the request is not a JSON object",
    "members": "the request has members other than query, variables and operationName",
    "no_query": "the request has no query",
    "variables": "the variables are not an object",
    "character": "the query contains an unexpected character",
    "comments": "the query's comments can be read in two ways",
    "string": "a string is malformed",
    "string_end": "the end of a string can be read in two ways",
    "number": "a number is malformed",
    "query": "the query cannot be parsed",
    "query_twice": "the query has a duplicate name",
    "default_value": "a variable has a default value",
    "arguments": "a mutation has an argument other than input",
    "operations": "the query contains several operations",
    "id": "an id is not a plain string",
    "no_object": "{} names no object",
    "many_objects": "{} names too many objects",
    "not_branch": "{} names a ref that is not a branch",
    "elsewhere": "{} names an object in another repository",
    "mutation": "{} is not allowed",
    "force": "{} may not force",
    "rebase": "{} may not rebase",
    "zero": "{} may not delete",
    "default": "{} names the default branch",
    "protected": "{} names a protected branch",
    "branch": "this is not a branch",
    "no_ref_in": "{} names a ref that is no branch, tag or note",
    "head": "{} is from another repository, which the update would write to",
    "field": "{} may not be set",
    # --- the body of other requests, and a push ---
    "json_body": "expected a JSON body and no query",
    "member": "{} may not be set in this request",
    "compressed": "the push is compressed",
    "push": "the push cannot be parsed",
    "push_long": "the push names too many branches and tags",
    "push_many": "the push deletes or forces too many branches",
    "push_twice": "the push names {} twice",
    "ref": "{}",
    "no_ref": "{} is no branch, tag or note",
    "push_option": "the push has the option {}",
    # --- references and mentions ---
    "text_long": "the gate cannot search so long a text; send less at once, or use git push for files",
    "text_unread": "the gate cannot read all commits and tags; push at most a few hundred at once",
    # --- an answer of GitHub, and a bug ---
    "undecided": "{} could not be checked",
    "default_branch": "GitHub did not name the default branch",
    "failed": "the check failed",
    # --- addresses of Git LFS ---
    "lfs_expired": "the address has expired",
    "lfs_credential": "the address was handed out with another credential",
}

# The gate answers for GitHub, which hides a repository that the credential cannot see. It is not a refusal of the sandbox.
HIDDEN = "GitHub found no such repository; check that it exists and that the operator's credential can read it"


def command(name: str, port: int | str = 0) -> str:
    """The command that opens a name on a port (0 and the usual ports: on those)."""
    return f"codetainer allow {name}" + ("" if port in (0, 80, 443) else f" --port {port}")


def advice(reason: str, name: str = "", port: int | str = 0, repositories: str = WRITABLE) -> str:
    """The advice for a reason, "" if it is unknown. `name`: the one that an entry of the allowlist would open, if any."""
    if name and reason in LISTABLE:
        return f"The operator can run {command(name, port)} to open it."
    return ADVICE.get(reason, "").replace("{repositories}", repositories)


def sentence(reason: str, advice: str, detail: str = "") -> str:
    """`foreign credential. Only the operator's credentials work here: ...`, with the detail after the reason."""
    return f"{reason}: {detail}. {advice}" if detail else f"{reason}. {advice}"
