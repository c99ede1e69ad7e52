"""Request headers that carry a credential, or that give a request another meaning for the servers behind a host.

An underscore counts as a dash: CGI, WSGI and Rack make one name of both. HAProxy keeps all names in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Headers with which services for telemetry, packages or code authenticate clients, and in which identity-aware proxies pass on
# a signed identity or a client certificate (RFC 9440; Cloudflare, Google, AWS, Azure). A name ends like this.
CREDENTIAL_HEADERS = (
    r"[^:]*(authorization|token|secret|password|api[._-]?key|(application|license|insert|access|ingestion|write|auth)[._-]?key|"
    r"honeycomb[._-]team|jwt|assertion|oidc[._-]data|x[._-]auth|client[._-]principal|client[._-]?cert[^:]*|ssl[._-]client[^:]*)"
)

# Frameworks and proxies obey these headers in place of the request line (Rack::MethodOverride, Symfony, IIS, Zend).
_METHODS = (r"x-(http-)?method(-override)?",)
METHOD_HEADERS = "|".join(_METHODS).replace("-", "[_-]")
_PATHS = (r"x-(original|rewrite|rewritten|envoy|accel|middleware)(-.*)?", r"(x-)?(request|proxy|base|http)-ur[il]", r"x-ur[il]")
_HOSTS = (r"x-(http-)?host(-override)?", r"x-forwarded(-.*)?", r"forwarded")  # RFC 7239 and its predecessors
# The client's address, and the user whom a proxy in front has identified: servers trust them for limits and permissions.
_ADDRESSES = (
    r"(x-)?(true-|cluster-)?client-?ip",
    r"(cf|fastly)-(connecting|client)-ip(v6)?",
    r"x-(real|originating|remote|appengine-user)-(ip|addr)",
    r"x-azure-(client|socket)ip",
)
_USERS = (
    r"(x-)?remote-(user|groups?|name|email)",
    r"x-(authenticated|webauth|goog-authenticated|ms-client-principal)(-.*)?",
    r"x-auth-(request(-.*)?|user(name)?|groups?|roles?|subject)",
)


def dropped(kept: Iterable[str]) -> str:
    """A regular expression for names of headers that do not reach a host with a credential. `kept` are its credentials' own."""
    spared = "".join(f"(?!{re.escape(header)}$)" for header in sorted(kept))
    names = "|".join((*_METHODS, *_PATHS, *_HOSTS, *_ADDRESSES, *_USERS))
    return rf"^{spared}({names.replace('-', '[_-]')})$"
